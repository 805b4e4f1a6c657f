#ifndef NARK_SECURESPACE_JOURNAL_H_
#define NARK_SECURESPACE_JOURNAL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/storage.h"
#include "common/crypto/aead.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"

namespace nark::securespace {

// Where a file ends: its id, random for every rewriting, and the number of its records.
// It tells any two contents of a file apart.
using JournalPosition = std::array<uint8_t, 24>;

// A sealed file: a snapshot, then records that were appended to it.
//
//    0  magic            8  "NARKSS01"
//    8  file id         16  random for every rewriting
//   24  records, each:
//         length         4  of the ciphertext, exclusive-or kLengthMask
//         complement     4  of those four bytes
//         ciphertext        record and 16-byte tag
//
// Records are sealed with AES-256-GCM under
//   HKDF-SHA-256(salt "nark secure space file v1", state key, info = name || file id)
// with their number in the file as the nonce, so no record can be moved, left out,
// or put into another file. A file that was read is never appended to, but first
// rewritten under a fresh id: a restored copy would otherwise repeat a nonce.
//
// A crash can leave the last record torn: cut short, or with sectors of zeros. As
// a record is durable before anything follows from it, a torn one is left out.
// Anything else that does not authenticate is an error, at the end of the file too.
class Journal {
 public:
  // `state_key`, 32 bytes, is copied. `storage` and `random` outlive the journal.
  Journal(const SecretBytes& state_key, Storage& storage, Random& random, std::string name);

  // What the file holds: the snapshot, then the records. NOT_FOUND where there is
  // no file; DATA_LOSS where it was changed, naming file and offset.
  absl::StatusOr<std::vector<SecretBytes>> Read();

  // Replaces the file by a snapshot alone. Durable on return.
  absl::Status Rewrite(ByteView snapshot);
  // Adds one record behind the snapshot that this object wrote. Durable on return.
  // FAILED_PRECONDITION before the first Rewrite, and after an error.
  absl::Status Append(ByteView record);

  // Where the file ended when it was last read or written; zeros before.
  const JournalPosition& position() const { return position_; }

  // Whether the file is due to be rewritten before the next record: it was only
  // read so far, or its records outweigh the snapshot.
  bool WantsRewriting() const;

 private:
  absl::StatusOr<SecretBytes> FileKey(ByteView file_id) const;
  void SetPosition(ByteView file_id, uint64_t records);
  absl::Status Seal(Aead& aead, ByteView plain, Bytes& to);

  SecretBytes state_key_;
  Storage& storage_;
  Random& random_;
  std::string name_;
  JournalPosition position_{};
  std::unique_ptr<Aead> aead_;  // set by Rewrite, like those below
  std::unique_ptr<AppendFile> file_;
  SecretBytes key_;
  uint64_t next_record_ = 0;
  size_t snapshot_bytes_ = 0;
  size_t appended_bytes_ = 0;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_JOURNAL_H_
