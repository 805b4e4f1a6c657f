// Shows TSan what gRPC's completion queues hand over. They do it by atomics in a library that is
// not instrumented: what a thread wrote before it started a batch is read by the one that gets
// the batch's tag.

#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include "bazel/tsan/original.h"

namespace {

using nark::tsan::Original;

constinit Original<grpc_call_error, grpc_call*, const grpc_op*, size_t, void*, void*> start_batch(
    "grpc_call_start_batch");
constinit Original<grpc_event, grpc_completion_queue*, gpr_timespec, void*> next(
    "grpc_completion_queue_next");
constinit Original<grpc_event, grpc_completion_queue*, void*, gpr_timespec, void*> pluck(
    "grpc_completion_queue_pluck");

grpc_event Received(grpc_event event) {
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag,
                                      void* reserved) {
  __tsan_release(tag);
  return start_batch(call, ops, count, tag, reserved);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                      void* reserved) {
  return Received(next(queue, deadline, reserved));
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  return Received(pluck(queue, tag, deadline, reserved));
}

}  // extern "C"
