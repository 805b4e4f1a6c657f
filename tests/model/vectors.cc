#include "tests/model/vectors.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "common/crypto/hash.h"

namespace nark::model {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "model vectors: %s\n", what.c_str());
  std::abort();
}

}  // namespace

std::string ModelFile(std::string_view name) { return "tests/model/" + std::string(name); }

const nlohmann::json& Vectors() {
  static const nlohmann::json* const vectors = [] {
    const std::string path = ModelFile("vectors.json");
    std::ifstream file(path);
    if (!file) Fail("cannot read " + path + "; run the test with bazel");
    auto* parsed = new nlohmann::json(nlohmann::json::parse(file, nullptr, false));
    if (parsed->is_discarded()) Fail(path + " is no JSON");
    return parsed;
  }();
  return *vectors;
}

Bytes HexField(const nlohmann::json& object, std::string_view name) {
  const auto field = object.find(std::string(name));
  if (field == object.end() || !field->is_string()) Fail("no field " + std::string(name));
  const auto hex = field->get<std::string>();
  Bytes bytes = FromHex(hex);
  if (2 * bytes.size() != hex.size()) Fail("not hexadecimal: " + std::string(name));
  return bytes;
}

SessionName ModelSession() {
  const nlohmann::json& session = Vectors()["session"];
  SessionName name;
  name.provider = ArrayField<32>(session, "provider");
  name.session_id = ArrayField<16>(session, "session_id");
  return name;
}

Bytes Filler(std::string_view label, size_t size) {
  Bytes bytes;
  bytes.reserve(size + 32);
  for (uint32_t block = 0; bytes.size() < size; ++block) {
    uint8_t number[4];
    StoreBig32(number, block);
    const Digest digest = Sha256({AsBytes(label), number});
    bytes.insert(bytes.end(), digest.begin(), digest.end());
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace nark::model
