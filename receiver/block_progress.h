#ifndef NARK_RECEIVER_BLOCK_PROGRESS_H_
#define NARK_RECEIVER_BLOCK_PROGRESS_H_

#include "keymanager/client.h"

namespace nark::receiver {

// Tells people that the marked block is fetched, and how far it is: on a terminal in a line
// that is written over, else in the log every five seconds that it takes.
keymanager::Client::BlockProgress TellBlockProgress();

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_BLOCK_PROGRESS_H_
