// What TSan is told in every program of a build for it.

extern "C" const char* __tsan_default_options() {
  // Debian's libraries are not instrumented; without the first, what they do through libc would
  // look like a race.
  return "ignore_noninstrumented_modules=1:halt_on_error=1:second_deadlock_stack=1";
}

// What is passed over, each with its reason.
extern "C" const char* __tsan_default_suppressions() {
  // A call that is cancelled while it is finished: two threads count it down, and who is last
  // destroys it. The count is an atomic one (acquire and release), but half of what counts is in
  // libgrpc++, where TSan does not see it.
  // The same where the answer is a stream.
  return "race:ServerCallbackUnaryImpl::CallOnDone\n"
         "race:ServerCallbackWriterImpl::CallOnDone\n";
}
