#include "tests/dissector/expected.h"

#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/wire/datagram.h"
#include "common/wire/header.h"
#include "relay/client/message.h"

namespace nark::dissector {
namespace {

std::string Number(uint64_t value) { return absl::StrCat(value); }
std::string Tag(uint64_t value) { return absl::StrFormat("0x%016x", value); }
template <typename Range>
std::string Joined(const Range& range, auto&& show) {
  std::vector<std::string> texts;
  for (const auto& one : range) texts.push_back(show(one));
  return absl::StrJoin(texts, ",");
}

// What C++ says of a signed header.
void Expect(const wire::ParsedHeader& parsed, Fields& fields) {
  const wire::Header& h = parsed.header;
  const std::string p = "nark.header.";
  fields["nark.header_bytes"] = Number(parsed.bytes.size());
  fields[p + "version"] = "1";
  fields[p + "flags"] = h.random_access ? "0x01" : "0x00";
  fields[p + "random_access"] = h.random_access ? "1" : "0";
  fields[p + "cipher"] = Number(h.cipher);
  fields[p + "fragment_hash"] = "1";
  fields[p + "tag"] = Tag(h.session_tag);
  fields[p + "sender"] = Number(h.sender_id);
  fields[p + "adu"] = Number(h.adu_id);
  fields[p + "signed_time"] = Number(h.signed_time_us);
  fields[p + "deadline"] = Number(h.deadline_us);
  fields[p + "plaintext_bytes"] = Number(h.plaintext_bytes);
  fields[p + "ciphertext_bytes"] = Number(h.ciphertext_bytes);
  fields[p + "fragment_bytes"] = Number(h.fragment_bytes);
  fields[p + "source_fragments"] = Number(h.source_fragments);
  fields[p + "parity_fragments"] = Number(h.parity_fragments);
  fields[p + "fresh"] = ToHex(h.fresh);
  fields[p + "control_block_bytes"] = Number(h.control_block.size());
  if (const auto* rule = std::get_if<wire::PacketRule>(&h.clear_map)) {
    fields[p + "clear_entries"] = "255";
    fields[p + "clear.phase"] = Number(rule->phase);
    fields[p + "clear.pid_count"] = Number(rule->pids.size());
    fields[p + "clear.pid"] =
        Joined(rule->pids, [](auto& pid) { return absl::StrFormat("0x%04x", pid); });
    fields[p + "clear.encrypted_bytes"] = Number(rule->encrypted_bytes);
  } else {
    const auto& ranges = std::get<wire::ClearRanges>(h.clear_map);
    fields[p + "clear_entries"] = Number(ranges.size());
    fields[p + "clear.offset"] = Joined(ranges, [](auto& r) { return Number(r.offset); });
    fields[p + "clear.length"] = Joined(ranges, [](auto& r) { return Number(r.length); });
  }
  fields[p + "control_block"] = ToHex(h.control_block);
  fields[p + "hash_count"] = Number(h.hashes.size());
  fields[p + "hash"] = Joined(h.hashes, [](auto& hash) { return ToHex(hash); });
  const auto authentication = wire::ParseAuthentication(parsed.authentication);
  const std::string a = "nark.authentication.";
  fields[a + "form"] = authentication->batch ? "2" : "1";
  fields[a + "signature"] = ToHex(authentication->signature);
  if (!authentication->batch) return;
  fields[a + "index"] = Number(authentication->batch->index);
  fields[a + "count"] = Number(authentication->batch->count);
  fields[a + "path_length"] = Number(authentication->batch->path.size());
  fields[a + "path"] = Joined(authentication->batch->path, [](auto& d) { return ToHex(d); });
}

}  // namespace

std::optional<Fields> Expected(ByteView datagram) {
  const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
  if (parsed.drop != wire::Drop::kNone || parsed.payload.empty()) return std::nullopt;
  Fields fields = {{"nark.magic", "NK"},
                   {"nark.version", "1"},
                   {"nark.kind", Number(static_cast<uint64_t>(parsed.prefix.kind))},
                   {"nark.tag", Tag(parsed.prefix.session_tag)},
                   {"nark.sender", Number(parsed.prefix.sender_id)},
                   {"nark.adu", Number(parsed.prefix.adu_id)},
                   {"nark.index", Number(parsed.prefix.index)}};
  ByteView signed_header = parsed.payload;
  switch (parsed.prefix.kind) {
    case wire::DatagramKind::kSource:
      fields["nark.source"] = ToHex(parsed.payload);
      return fields;
    case wire::DatagramKind::kParity:
      fields["nark.parity"] = ToHex(parsed.payload);
      return fields;
    case wire::DatagramKind::kHashes: {
      if (parsed.payload.size() % wire::kFragmentHashBytes != 0) return std::nullopt;
      std::vector<std::string> hashes;
      for (size_t at = 0; at < parsed.payload.size(); at += wire::kFragmentHashBytes) {
        hashes.push_back(ToHex(parsed.payload.subspan(at, wire::kFragmentHashBytes)));
      }
      fields["nark.page.hash"] = absl::StrJoin(hashes, ",");
      return fields;
    }
    case wire::DatagramKind::kWhole: {
      const auto whole = wire::ParseWhole(parsed.payload);
      if (!whole.ok()) return std::nullopt;
      signed_header = whole->signed_header;
      fields["nark.signed_header_bytes"] = Number(signed_header.size());
      fields["nark.ciphertext"] = ToHex(whole->ciphertext);
      break;
    }
    case wire::DatagramKind::kHeader:
      break;
  }
  const auto header = wire::ParseSignedHeader(signed_header);
  if (!header.ok() || !wire::MatchesPrefix(header->header, parsed.prefix)) return std::nullopt;
  if (parsed.prefix.kind == wire::DatagramKind::kWhole &&
      fields["nark.ciphertext"].size() != 2 * size_t{header->header.ciphertext_bytes}) {
    return std::nullopt;
  }
  Expect(*header, fields);
  return fields;
}

std::optional<Fields> ExpectedMessage(ByteView message) {
  Fields fields;
  const auto zeros = [](size_t bytes) { return std::string(2 * bytes, '0'); };
  const std::string p = "nark_relay.";
  relay::Nonce nonce{};
  if (const auto hello = relay::ParseHello(message); hello.ok()) {
    nonce = hello->nonce;
    fields[p + "type"] = "1";
    fields[p + "padding"] = zeros(44);
  } else if (const auto cookie = relay::ParseCookieMessage(message); cookie.ok()) {
    nonce = cookie->nonce;
    fields[p + "type"] = "2";
    fields[p + "cookie"] = ToHex(cookie->cookie);
  } else if (const auto subscribe = relay::ParseSubscribe(message); subscribe.ok()) {
    nonce = subscribe->nonce;
    fields[p + "type"] = "3";
    fields[p + "cookie"] = ToHex(subscribe->cookie);
    fields[p + "credential"] = ToHex(subscribe->credential);
    fields[p + "subscriber"] = ToHex(subscribe->subscriber);
    fields[p + "serial"] = Number(subscribe->serial);
    fields[p + "lease"] = Number(subscribe->lease_seconds);
    fields[p + "tag_count"] = Number(subscribe->tags.size());
    fields[p + "tag"] = Joined(subscribe->tags, Tag);
    fields[p + "padding"] = "00";
    const size_t rest = 64 - 8 * subscribe->tags.size();
    if (rest > 0) fields[p + "padding"] += "," + zeros(rest);
    fields[p + "mac"] = ToHex(message.last(relay::kMacBytes));
  } else if (const auto answer = relay::ParseAnswer(message); answer.ok()) {
    nonce = answer->nonce;
    fields[p + "type"] = "4";
    fields[p + "serial"] = Number(answer->serial);
    fields[p + "status"] = Number(static_cast<uint64_t>(answer->status));
    fields[p + "padding"] = "00";
    fields[p + "lease"] = Number(answer->lease_seconds);
    fields[p + "mac"] = ToHex(message.last(relay::kMacBytes));
  } else {
    return std::nullopt;
  }
  fields[p + "magic"] = "NR";
  fields[p + "version"] = "1";
  fields[p + "nonce"] = ToHex(nonce);
  return fields;
}

}  // namespace nark::dissector
