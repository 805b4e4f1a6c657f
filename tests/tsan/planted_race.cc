// Two threads that write one number without a lock: TSan must see it, or what it says of all
// the rest is worth nothing.

#include <cstdio>
#include <thread>

int main() {
  int number = 0;
  std::thread other([&] { ++number; });
  ++number;
  other.join();
  std::printf("%d\n", number);
  return 0;
}
