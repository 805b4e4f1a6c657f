#ifndef NARK_LOAD_VIEWER_FILE_H_
#define NARK_LOAD_VIEWER_FILE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"
#include "nark/v1/envelope.pb.h"

// The file of `nark-load prepare`: viewers with their keys. Secret, and of no use to
// anybody but load tests. Integers are big-endian.
//
//   "NARKLOAD"   8 bytes
//   version      u32, 1
//   viewers      u32
//   provider     32 bytes: SHA-256 of the root's SPKI
//   session id   16 bytes
//   terms        32 bytes: their identity
//   each viewer:
//     id           32 bytes: the secure space's
//     key          u16 length, attestation key as PKCS#8
//     certificate  u16 length, X.509 DER
//     voucher      u32 length, SignedEnvelope
//   SHA-256 of all of it  32 bytes
namespace nark::load {

// What the viewers of a file were prepared for.
struct ViewerFileHead {
  SessionName session;
  Digest terms_identity{};
  uint32_t viewers = 0;
};

// One viewer, as it stands in the file.
struct ViewerEntry {
  Digest id{};
  SecretBytes key;
  std::string certificate;
  v1::SignedEnvelope voucher;
};

// Writes a file of mode 0600 that has its name only once it is complete, and durable then.
// One thread only.
class ViewerFileWriter {
 public:
  // Errors name the path.
  static absl::StatusOr<ViewerFileWriter> Create(const std::string& path,
                                                 const ViewerFileHead& head);
  ~ViewerFileWriter();
  ViewerFileWriter(ViewerFileWriter&& other) noexcept;
  ViewerFileWriter& operator=(ViewerFileWriter&&) = delete;

  // Once for each viewer that the head announces.
  absl::Status Add(const ViewerEntry& viewer);
  absl::Status Finish();

 private:
  ViewerFileWriter(std::string path, int file) : path_(std::move(path)), file_(file) {}
  absl::Status Write(ByteView bytes);
  std::string Filling() const { return path_ + ".new"; }

  std::string path_;
  int file_;  // -1 once finished or moved from
  Sha256Stream hash_;
};

// Reads all of it: `begin` is called with the head, then `add` with each viewer. Their errors
// end it, and are returned. INVALID_ARGUMENT, naming the path, where it is no such file or
// one bit of it is changed: then neither is called.
absl::Status ReadViewerFile(const std::string& path,
                            const std::function<absl::Status(const ViewerFileHead&)>& begin,
                            const std::function<absl::Status(ViewerEntry)>& add);

}  // namespace nark::load

#endif  // NARK_LOAD_VIEWER_FILE_H_
