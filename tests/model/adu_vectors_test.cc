// ADUs from the seed to the datagram, held against the independent model: key
// schedule, control block, cipher, hashes, header, authentication.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/crypto/secret_bytes.h"
#include "common/crypto/signature.h"
#include "common/fec/coder.h"
#include "common/object/session.h"
#include "common/schedule/generator.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/cipher.h"
#include "common/wire/control_block.h"
#include "common/wire/datagram.h"
#include "common/wire/fragment.h"
#include "common/wire/header.h"
#include "tests/model/vectors.h"

namespace nark::model {
namespace {

using nlohmann::json;

Digest ContextOf(const json& adu) {
  return SessionContext(ModelSession(), adu["sub_session"].get<uint32_t>());
}

PublicKey SenderKey() { return *PublicKey::FromSpki(HexField(Vectors(), "sender_spki")); }

SecretBytes LeafOf(const json& adu) {
  const schedule::Parameters parameters{adu["generator"], adu["depth"].get<uint32_t>()};
  const SecretBytes seed = SecretBytes::CopyOf(HexField(Vectors()["schedule"], "seed"));
  const SecretBytes root =
      *schedule::SenderRoot(seed, ModelSession(), adu["sub_session"].get<uint32_t>(), parameters,
                            adu["sender_id"].get<uint32_t>());
  const uint64_t id = adu["adu_id"];
  const schedule::Generator* generator = *schedule::FindGenerator(parameters.id);
  auto source = *generator->Open(parameters, *generator->Cover(root, parameters, id, id));
  SecretBytes leaf;
  EXPECT_TRUE(source->Leaf(id, leaf).ok());
  return leaf;
}

std::vector<wire::ControlEntry> EntriesOf(const json& adu) {
  std::vector<wire::ControlEntry> entries;
  for (const json& entry : adu["control"]) {
    entries.push_back({entry["action"].get<uint8_t>(), entry["number"].get<uint64_t>(),
                       HexField(entry, "target")});
  }
  return entries;
}

wire::ClearMap ClearMapOf(const json& adu) {
  if (adu.contains("packet_rule")) {
    const json& rule = adu["packet_rule"];
    return wire::PacketRule{rule["phase"].get<uint8_t>(), rule["pids"].get<std::vector<uint16_t>>(),
                            rule["encrypted_bytes"].get<uint32_t>()};
  }
  wire::ClearRanges ranges;
  for (const json& range : adu["clear_map"]) {
    ranges.push_back({range[0].get<uint32_t>(), range[1].get<uint32_t>()});
  }
  return ranges;
}

Bytes PlaintextOf(const json& adu) {
  Bytes plaintext =
      Filler(adu["plaintext_label"].get<std::string>(), adu["plaintext_bytes"].get<size_t>());
  for (const json& replaced : adu["plaintext_with"]) {
    const Bytes with = FromHex(replaced[1].get<std::string>());
    std::copy(with.begin(), with.end(), plaintext.begin() + replaced[0].get<ptrdiff_t>());
  }
  return plaintext;
}

// What the model was given to make the header from.
wire::Header DescribedHeader(const json& adu, const wire::CipherSuite& suite) {
  wire::Header header;
  header.random_access = adu["random_access"];
  header.cipher = suite.wire_number();
  header.session_tag = SessionTag(ContextOf(adu));
  header.sender_id = adu["sender_id"];
  header.adu_id = adu["adu_id"];
  header.signed_time_us = adu["signed_time_us"];
  header.deadline_us = adu["deadline_us"];
  header.plaintext_bytes = adu["plaintext_bytes"];
  header.clear_map = ClearMapOf(adu);
  header.ciphertext_bytes =
      static_cast<uint32_t>(suite.CiphertextBytes(header.plaintext_bytes, header.clear_map));
  header.fragment_bytes = adu["fragment_bytes"];
  header.source_fragments =
      static_cast<uint16_t>(wire::SourceFragments(header.ciphertext_bytes, header.fragment_bytes));
  header.parity_fragments = adu["parity_fragments"];
  header.fresh = ArrayField<16>(adu, "fresh");
  return header;
}

// The parity fragments of a source, one behind the other.
Bytes ParityOf(const fec::Spread& spread, uint16_t fragment_bytes, ByteView source) {
  Bytes padded = ToBytes(source), parity(size_t{spread.parity()} * fragment_bytes);
  padded.resize(size_t{spread.source()} * fragment_bytes);
  fec::Coder().Encode(spread, fragment_bytes, padded, parity);
  return parity;
}

std::vector<Bytes> FragmentsOf(const wire::Header& header, ByteView ciphertext) {
  std::vector<Bytes> fragments;
  for (uint32_t i = 0; i < header.source_fragments; ++i) {
    fragments.push_back(ToBytes(wire::SourceFragment(ciphertext, header.fragment_bytes, i)));
  }
  const Bytes parity = ParityOf(fec::Spread(header.source_fragments, header.parity_fragments),
                                header.fragment_bytes, ciphertext);
  for (uint32_t i = 0; i < header.parity_fragments; ++i) {
    fragments.push_back(ToBytes(wire::SourceFragment(parity, header.fragment_bytes, i)));
  }
  return fragments;
}

struct Sealed {
  wire::Header header;
  Bytes ciphertext;
  std::vector<Bytes> fragments;
  wire::HashPages hashes;
};

// Seals an ADU as the sender does, comparing each step with the model.
Sealed Seal(const json& adu) {
  const wire::CipherSuite* suite = *wire::FindCipher(adu["cipher"].get<std::string>());
  const Digest context = ContextOf(adu);
  Sealed sealed{DescribedHeader(adu, *suite), {}, {}, {}};
  wire::Header& header = sealed.header;
  const size_t block_bytes = adu["control_block_bytes"];

  const SecretBytes leaf = LeafOf(adu);
  EXPECT_EQ(ToHex(leaf.Reveal()), adu["leaf"]);
  const Bytes core = wire::SerialiseCore(header, static_cast<uint16_t>(block_bytes + 16));
  EXPECT_EQ(ToHex(core), adu["core"]);

  const Bytes block = *wire::SerialiseControlBlock(EntriesOf(adu), block_bytes);
  EXPECT_EQ(ToHex(block), adu["control_plaintext"]);
  const SecretBytes control_key = *schedule::ControlKey(leaf, context, core);
  EXPECT_EQ(ToHex(control_key.Reveal()), adu["control_key"]);
  header.control_block = *(*wire::ControlCipher::Create())->Seal(control_key, block);
  EXPECT_EQ(ToHex(header.control_block), adu["control_block"]);

  const SecretBytes data_key =
      *schedule::DataKey(leaf, context, core, header.control_block, suite->key_bytes());
  EXPECT_EQ(ToHex(data_key.Reveal()), adu["data_key"]);
  const Bytes plaintext = PlaintextOf(adu);
  sealed.ciphertext.resize(header.ciphertext_bytes);
  auto cipher = *suite->Create();
  EXPECT_TRUE(cipher->Seal(data_key, header.clear_map, plaintext, sealed.ciphertext).ok());
  Bytes opened(plaintext.size());
  EXPECT_TRUE(cipher->Open(data_key, header.clear_map, sealed.ciphertext, opened).ok());
  EXPECT_EQ(opened, plaintext);

  sealed.fragments = FragmentsOf(header, sealed.ciphertext);
  std::vector<wire::FragmentHash> hashes;
  for (const Bytes& fragment : sealed.fragments) hashes.push_back(wire::HashFragment(fragment));
  sealed.hashes = wire::BuildHashPages(std::move(hashes), header.fragment_bytes);
  header.hashes = sealed.hashes.root;
  return sealed;
}

class AduVectorsTest : public testing::TestWithParam<size_t> {
 protected:
  const json& adu() const { return Vectors()["adus"][GetParam()]; }
};

TEST_P(AduVectorsTest, SealsToTheModelsHeader) {
  SCOPED_TRACE(adu()["name"]);
  const Sealed sealed = Seal(adu());
  EXPECT_EQ(ToHex(Sha256(sealed.ciphertext)), adu()["ciphertext_sha256"]);
  if (adu().contains("ciphertext")) {
    EXPECT_EQ(ToHex(sealed.ciphertext), adu()["ciphertext"]);
  }
  std::vector<std::string> pages;
  for (const Bytes& page : sealed.hashes.pages) pages.push_back(ToHex(Sha256(page)));
  EXPECT_EQ(json(pages), adu()["page_sha256"]);
  EXPECT_EQ(ToHex(wire::SerialiseHeader(sealed.header)), adu()["header"]);
}

TEST_P(AduVectorsTest, VerifiesTheModelsSignature) {
  SCOPED_TRACE(adu()["name"]);
  const Bytes signed_header = HexField(adu(), "signed_header");
  const auto parsed = wire::ParseSignedHeader(signed_header);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(ToHex(parsed->bytes), adu()["header"]);
  EXPECT_EQ(ToHex(parsed->core), adu()["core"]);
  EXPECT_EQ(ToHex(wire::SerialiseHeader(parsed->header)), adu()["header"]);
  wire::HeaderVerifier verifier(ContextOf(adu()));
  EXPECT_TRUE(verifier.Verify(*parsed, SenderKey()).ok());
}

TEST_P(AduVectorsTest, AcceptsEveryPieceAgainstTheModelsHeader) {
  SCOPED_TRACE(adu()["name"]);
  const Bytes signed_header = HexField(adu(), "signed_header");
  const auto parsed = wire::ParseSignedHeader(signed_header);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const Sealed sealed = Seal(adu());
  wire::HashTreeReceiver tree(parsed->header);
  for (uint32_t i = tree.pages(); i-- > 0;) {
    EXPECT_EQ(tree.AcceptPage(i, sealed.hashes.pages[i]), wire::PieceCheck::kGood) << i;
  }
  EXPECT_TRUE(tree.complete());
  for (uint32_t i = 0; i < tree.fragments(); ++i) {
    EXPECT_EQ(tree.CheckFragment(i, sealed.fragments[i]), wire::PieceCheck::kGood) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Model, AduVectorsTest, testing::Range(size_t{0}, Vectors()["adus"].size()),
                         [](const auto& test) {
                           std::string name = Vectors()["adus"][test.param]["name"];
                           for (char& c : name) c = c == ' ' ? '_' : c;
                           return name;
                         });

TEST(DatagramVectorsTest, MatchTheModels) {
  const json& adu = Vectors()["adus"][0];
  const Bytes signed_header = HexField(adu, "signed_header");
  const Bytes ciphertext = HexField(adu, "ciphertext");
  const std::map<std::string, std::pair<wire::DatagramKind, Bytes>> payloads = {
      {"header", {wire::DatagramKind::kHeader, signed_header}},
      {"source", {wire::DatagramKind::kSource, ciphertext}},
      {"whole", {wire::DatagramKind::kWhole, wire::SerialiseWhole(signed_header, ciphertext)}},
  };
  for (const auto& [name, datagram] : payloads) {
    SCOPED_TRACE(name);
    Bytes bytes(wire::kPrefixBytes);
    const wire::Prefix prefix{datagram.first, SessionTag(ContextOf(adu)),
                              adu["sender_id"].get<uint32_t>(), adu["adu_id"].get<uint64_t>(), 0};
    wire::WritePrefix(prefix, bytes.data());
    bytes.insert(bytes.end(), datagram.second.begin(), datagram.second.end());
    EXPECT_EQ(ToHex(bytes), adu["datagrams"][name]);
    const wire::ParsedDatagram parsed = wire::ParseDatagram(bytes);
    EXPECT_EQ(parsed.drop, wire::Drop::kNone);
    EXPECT_TRUE(Equal(parsed.payload, datagram.second));
  }
}

TEST(FecVectorsTest, CodesAsTheModelDoes) {
  ASSERT_FALSE(Vectors()["fec"].empty());
  for (const json& coded : Vectors()["fec"]) {
    const fec::Spread spread(coded["source_fragments"], coded["parity_fragments"]);
    SCOPED_TRACE(spread.source());
    const uint16_t size = coded["fragment_bytes"];
    const Bytes parity =
        ParityOf(spread, size,
                 Filler("source of " + std::to_string(spread.source()), coded["source_bytes"]));
    ASSERT_EQ(coded["parity_sha256"].size(), spread.parity());
    for (uint32_t i = 0; i < spread.parity(); ++i) {
      EXPECT_EQ(ToHex(Sha256(ByteView(parity).subspan(size_t{i} * size, size))),
                coded["parity_sha256"][i])
          << i;
    }
  }
}

// The signature differs every time, the tree around it does not.
TEST(BatchVectorsTest, SignsAndVerifiesTheModelsTree) {
  const PrivateKey key = *PrivateKey::Generate();
  for (const json& batch : Vectors()["batches"]) {
    std::vector<Bytes> headers;
    for (const json& header : batch["headers"])
      headers.push_back(FromHex(header.get<std::string>()));
    SCOPED_TRACE(headers.size());
    const auto ours =
        wire::SignBatch(ContextOf(batch), batch["sender_id"].get<uint32_t>(), headers, key);
    ASSERT_TRUE(ours.ok()) << ours.status();
    wire::HeaderVerifier verifier(ContextOf(batch));
    for (size_t i = 0; i < headers.size(); ++i) {
      const Bytes theirs = FromHex(batch["signed_headers"][i].get<std::string>());
      ASSERT_EQ(theirs.size(), (*ours)[i].size());
      EXPECT_TRUE(std::equal(theirs.begin(), theirs.end() - 64, (*ours)[i].begin())) << i;
      const auto parsed = wire::ParseSignedHeader(theirs);
      ASSERT_TRUE(parsed.ok()) << parsed.status();
      EXPECT_TRUE(verifier.Verify(*parsed, SenderKey()).ok()) << i;
    }
    EXPECT_EQ(verifier.signatures_checked(), 1u);
  }
}

}  // namespace
}  // namespace nark::model
