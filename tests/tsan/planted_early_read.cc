// A number that is read before the notification that would hand it over is waited for.

#include <cstdio>
#include <thread>

#include "absl/synchronization/notification.h"

int main() {
  absl::Notification done;
  int number = 0;
  std::thread other([&] {
    number = 1;
    done.Notify();
  });
  const int early = number;
  done.WaitForNotification();
  other.join();
  std::printf("%d %d\n", early, number);
  return 0;
}
