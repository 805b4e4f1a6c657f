// A number that one thread guards and the other does not: TSan must see it although it is told
// of the locks.

#include <cstdio>
#include <thread>

#include "absl/synchronization/mutex.h"

int main() {
  absl::Mutex mutex;
  int number = 0;
  std::thread other([&] {
    absl::MutexLock lock(&mutex);
    ++number;
  });
  ++number;
  other.join();
  std::printf("%d\n", number);
  return 0;
}
