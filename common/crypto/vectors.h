#ifndef NARK_COMMON_CRYPTO_VECTORS_H_
#define NARK_COMMON_CRYPTO_VECTORS_H_

#include <optional>
#include <string>
#include <string_view>

namespace nark {

// A file of third-party test vectors, below $NARK_VECTOR_DIR or, where that is not
// set, below ../shared/vectors beside the workspace; nullopt where it is not there.
std::optional<std::string> ReadVectors(std::string_view file);

// What to say in that case.
std::string NoVectorsMessage(std::string_view file);

}  // namespace nark

// Assigns the file's text, or skips the test loudly.
#define NARK_READ_VECTORS_OR_SKIP(text, file)                                    \
  do {                                                                           \
    std::optional<std::string> nark_vectors = nark::ReadVectors(file);           \
    if (!nark_vectors.has_value()) GTEST_SKIP() << nark::NoVectorsMessage(file); \
    text = *std::move(nark_vectors);                                             \
  } while (false)

#endif  // NARK_COMMON_CRYPTO_VECTORS_H_
