#ifndef NARK_COMMON_OBJECT_POOL_FILES_H_
#define NARK_COMMON_OBJECT_POOL_FILES_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret_bytes.h"
#include "nark/v1/file.pb.h"

// How the files of a pool's folder are named: what reading and writing one share.
namespace nark::pool_files {

inline constexpr char kManifest[] = "manifest.nark";
inline constexpr char kRoot[] = "root.pem";
// All others are named <prefix><id><suffix>, the id so that a name never means another
// content: an older manifest stays true while newer files are written beside its own.
inline constexpr std::string_view kSigningPrefix = "signing-";
inline constexpr std::string_view kTlsPrefix = "tls-";
inline constexpr std::string_view kHpkeKeyPrefix = "hpke-";
inline constexpr std::string_view kMacKeyPrefix = "challenge-";
inline constexpr std::string_view kPemSuffix = ".pem";
inline constexpr std::string_view kKeySuffix = ".key";
// A URI in place of the key.
inline constexpr std::string_view kUriSuffix = ".pkcs11";
inline constexpr char kHpkeKeyLabel[] = "NARK HPKE KEY";
inline constexpr char kMacKeyLabel[] = "NARK MAC KEY";

struct Content {
  SecretBytes bytes;
  v1::PoolFile listed;  // without the name's and the bytes' part
};
using Files = std::map<std::string, Content>;

// The part of a file's name that says whose it is.
std::string HexId(const Digest& digest);

// Whether the name is <prefix><id><suffix>, or that of a URI, which has a second id.
bool IsNamed(std::string_view name, std::string_view prefix, std::string_view suffix);

// The names in the folder that writing it gives, be it for as long as a file is written, and
// that are not `listed`, in order.
absl::StatusOr<std::vector<std::string>> OursBeside(const std::string& folder,
                                                    const std::set<std::string>& listed);

}  // namespace nark::pool_files

#endif  // NARK_COMMON_OBJECT_POOL_FILES_H_
