// What TSan is told in every program of a build for it.

extern "C" const char* __tsan_default_options() {
  // Debian's libraries are not instrumented; without the first, what they do through libc would
  // look like a race.
  return "ignore_noninstrumented_modules=1:halt_on_error=1:second_deadlock_stack=1";
}
