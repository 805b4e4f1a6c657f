#include "common/object/leaf_form.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "common/crypto/hash.h"

namespace nark {
namespace {

// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature },
// RFC 5280 section 4.1. The two parts that are looked at.
struct Outer {
  ByteView tbs;        // with its own tag and length
  ByteView signature;  // DER of ECDSA-Sig-Value
};

// SEQUENCE { OBJECT IDENTIFIER ecdsa-with-SHA256 }
constexpr uint8_t kEcdsaSha256[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                    0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr size_t kHeadBytes = 4;
constexpr size_t kMaxSignatureBytes = 72;
constexpr size_t kPointBytes = 65;
constexpr size_t kKeyIdBytes = 20;

// The size of a SEQUENCE whose length takes the two-byte form, head included;
// 0 where it is none.
size_t SequenceSize(ByteView der) {
  if (der.size() < kHeadBytes || der[0] != 0x30 || der[1] != 0x82) return 0;
  const size_t size = LoadBig16(der.data() + 2);
  return size >= 256 && kHeadBytes + size <= der.size() ? kHeadBytes + size : 0;
}

std::optional<Outer> Split(ByteView der) {
  if (der.empty() || SequenceSize(der) != der.size()) return std::nullopt;
  ByteView rest = der.subspan(kHeadBytes);
  const size_t tbs_size = SequenceSize(rest);
  if (tbs_size == 0) return std::nullopt;
  Outer outer = {.tbs = rest.first(tbs_size), .signature = {}};
  rest = rest.subspan(tbs_size);
  if (rest.size() < sizeof kEcdsaSha256 || !Equal(rest.first(sizeof kEcdsaSha256), kEcdsaSha256)) {
    return std::nullopt;
  }
  rest = rest.subspan(sizeof kEcdsaSha256);
  // BIT STRING, no unused bits.
  if (rest.size() < 3 || rest[0] != 0x03 || rest[1] != rest.size() - 2 || rest[2] != 0) {
    return std::nullopt;
  }
  outer.signature = rest.subspan(3);
  return outer.signature.size() <= kMaxSignatureBytes ? std::optional(outer) : std::nullopt;
}

// Where `part` stands in `whole`, if it stands there just once.
std::optional<size_t> FindOnce(ByteView whole, ByteView part) {
  const auto found = std::search(whole.begin(), whole.end(), part.begin(), part.end());
  if (part.empty() || found == whole.end()) return std::nullopt;
  const auto second = std::search(found + 1, whole.end(), part.begin(), part.end());
  if (second != whole.end()) return std::nullopt;
  return static_cast<size_t>(found - whole.begin());
}

// UTCTime, as RFC 5280 section 4.1.2.5.1 demands it until 2049: YYMMDDHHMMSSZ.
std::string UtcTime(Timestamp t) {
  const auto days = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(t - days));
  char text[32];
  std::snprintf(text, sizeof text, "%02d%02u%02u%02d%02d%02dZ", static_cast<int>(date.year()) % 100,
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return text;
}

std::optional<Timestamp> ParseUtcTime(ByteView text) {
  if (text.size() != 13 || text[12] != 'Z') return std::nullopt;
  unsigned pairs[6];
  for (size_t i = 0; i < 6; ++i) {
    const unsigned tens = text[2 * i] - unsigned{'0'};
    const unsigned ones = text[2 * i + 1] - unsigned{'0'};
    if (tens > 9 || ones > 9) return std::nullopt;
    pairs[i] = 10 * tens + ones;
  }
  // 50 to 99 are of the last century: the general way's business.
  if (pairs[0] > 49 || pairs[3] > 23 || pairs[4] > 59 || pairs[5] > 59) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(2000 + static_cast<int>(pairs[0])),
                                         std::chrono::month(pairs[1]), std::chrono::day(pairs[2]));
  if (!date.ok()) return std::nullopt;
  return Timestamp(std::chrono::sys_days(date)) + std::chrono::hours(pairs[3]) +
         std::chrono::minutes(pairs[4]) + std::chrono::seconds(pairs[5]);
}

bool IsName(ByteView text) {
  return std::all_of(text.begin(), text.end(), [](uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

}  // namespace

std::optional<LeafForm> LeafForm::Of(const Certificate& verified) {
  const std::optional<Outer> outer = Split(verified.der());
  if (!outer || !verified.secure_space_scope()) return std::nullopt;
  const Bytes& spki = verified.public_key().spki();
  const Digest key_hash = Sha256(ByteView(spki).last(kPointBytes));
  const Bytes serial = FromHex(verified.serial_hex());
  const std::string subject = verified.subject();
  const std::string not_before = UtcTime(verified.not_before());
  const std::string not_after = UtcTime(verified.not_after());
  const std::array<ByteView, kParts> values = {serial,
                                               AsBytes(not_before),
                                               AsBytes(not_after),
                                               AsBytes(subject),
                                               spki,
                                               ByteView(key_hash).first(kKeyIdBytes),
                                               verified.secure_space_scope()->note_spki};
  LeafForm form;
  form.tbs_ = ToBytes(outer->tbs);
  form.assurance_ = verified.secure_space_scope()->assurance;
  for (size_t i = 0; i < kParts; ++i) {
    const std::optional<size_t> at = FindOnce(outer->tbs, values[i]);
    if (!at) return std::nullopt;
    form.parts_[i] = {.begin = *at, .size = values[i].size()};
  }
  for (const Part& part : form.parts_) {
    std::fill_n(form.tbs_.begin() + static_cast<std::ptrdiff_t>(part.begin), part.size, 0);
  }
  // The rest must be read as it was: the example has its own form.
  if (!form.Matches(outer->tbs)) return std::nullopt;
  return form;
}

bool LeafForm::Matches(ByteView tbs) const {
  if (tbs.size() != tbs_.size()) return false;
  Bytes bare = ToBytes(tbs);
  for (const Part& part : parts_) {
    std::fill_n(bare.begin() + static_cast<std::ptrdiff_t>(part.begin), part.size, 0);
  }
  return Equal(bare, tbs_);
}

std::optional<SecureSpaceLeaf> LeafForm::Verify(ByteView der, const PublicKey& issuer,
                                                std::optional<Timestamp> at) const {
  const std::optional<Outer> outer = Split(der);
  if (!outer || !Matches(outer->tbs)) return std::nullopt;
  const ByteView tbs = outer->tbs;
  // A positive INTEGER in its shortest form (X.690 section 8.3.2).
  const ByteView serial = parts_[kSerial].In(tbs);
  if (serial[0] == 0 || serial[0] > 0x7f || !IsName(parts_[kSubject].In(tbs))) {
    return std::nullopt;
  }
  const auto not_before = ParseUtcTime(parts_[kNotBefore].In(tbs));
  const auto not_after = ParseUtcTime(parts_[kNotAfter].In(tbs));
  if (!not_before || !not_after) return std::nullopt;
  if (at) {
    const Timestamp second = std::chrono::floor<std::chrono::seconds>(*at);
    // The last second does not count: so does OpenSSL.
    if (second < *not_before || second >= *not_after) return std::nullopt;
  }
  // Before anything is believed of what follows.
  if (!issuer.VerifyDer(tbs, outer->signature).ok()) return std::nullopt;
  absl::StatusOr<PublicKey> key = PublicKey::FromSpki(parts_[kSpki].In(tbs));
  if (!key.ok()) return std::nullopt;
  return SecureSpaceLeaf{.attestation_key = *std::move(key),
                         .note_spki = ToBytes(parts_[kNoteSpki].In(tbs)),
                         .assurance = assurance_,
                         .serial_hex = ToHex(serial),
                         .not_before = *not_before,
                         .not_after = *not_after};
}

}  // namespace nark
