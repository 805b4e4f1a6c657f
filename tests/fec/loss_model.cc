#include "tests/fec/loss_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "common/wire/datagram.h"

namespace nark::fec {
namespace {

wire::Header HeaderIn(const std::vector<Bytes>& datagrams) {
  for (const Bytes& one : datagrams) {
    const wire::ParsedDatagram parsed = wire::ParseDatagram(one);
    ByteView signed_header = parsed.payload;
    if (parsed.prefix.kind == wire::DatagramKind::kWhole) {
      signed_header = wire::ParseWhole(parsed.payload)->signed_header;
    } else if (parsed.prefix.kind != wire::DatagramKind::kHeader) {
      continue;
    }
    const auto header = wire::ParseSignedHeader(signed_header);
    if (header.ok()) return header->header;
  }
  std::cerr << "LossModel: no header among the datagrams\n";
  std::abort();
}

}  // namespace

LossModel::LossModel(const std::vector<Bytes>& datagrams)
    : header_(HeaderIn(datagrams)),
      spread_(header_.source_fragments, header_.parity_fragments),
      levels_(wire::LevelSizes(spread_.source() + spread_.parity(), header_.fragment_bytes)),
      first_page_of_level_(levels_.size()) {
  for (size_t level = 1; level < levels_.size(); ++level) {
    first_page_of_level_[level] = pages_;
    pages_ += levels_[level];
  }
  for (const Bytes& one : datagrams) {
    const wire::Prefix prefix = wire::ParseDatagram(one).prefix;
    sent_.push_back({prefix.kind, prefix.index});
    whole_ = whole_ || prefix.kind == wire::DatagramKind::kWhole;
    copies_ +=
        prefix.kind == wire::DatagramKind::kHeader || prefix.kind == wire::DatagramKind::kWhole ? 1
                                                                                                : 0;
    bytes_ += one.size();
  }
}

// A fragment or page is known by the page above it, and that by the one above it.
bool LossModel::Known(const std::vector<bool>& pages, uint32_t level, uint32_t position) const {
  const uint32_t per_page = header_.fragment_bytes / wire::kFragmentHashBytes;
  for (; level + 1 < levels_.size(); ++level) {
    position /= per_page;
    if (!pages[first_page_of_level_[level + 1] + position]) return false;
  }
  return true;
}

LossModel::Outcome LossModel::Judge(const std::vector<bool>& lost) {
  bool header = false;
  std::vector<bool> pages(pages_);
  std::vector<bool> came(spread_.source() + spread_.parity());
  for (size_t i = 0; i < sent_.size(); ++i) {
    if (lost[i]) continue;
    switch (sent_[i].kind) {
      case wire::DatagramKind::kWhole:
        return Outcome::kDelivered;
      case wire::DatagramKind::kHeader:
        header = true;
        break;
      case wire::DatagramKind::kHashes:
        pages[sent_[i].index] = true;
        break;
      default:
        came[sent_[i].index] = true;
    }
  }
  if (!header) return Outcome::kNoHeader;
  std::vector<uint32_t> in_block(spread_.blocks()), checked(spread_.blocks());
  std::vector<bool> misses_unknown(spread_.blocks());
  for (uint32_t i = 0; i < came.size(); ++i) {
    const bool source = i < spread_.source();
    const uint32_t block = spread_.BlockOf(source ? i : i - spread_.source());
    const bool known = Known(pages, 0, i);
    in_block[block] += came[i] ? 1 : 0;
    checked[block] += came[i] && known ? 1 : 0;
    if (source && !known) misses_unknown[block] = true;
  }
  Outcome outcome = Outcome::kDelivered;
  for (uint32_t block = 0; block < spread_.blocks(); ++block) {
    if (in_block[block] < spread_.source_of(block)) return Outcome::kNoBlock;
    if (checked[block] < spread_.source_of(block) || misses_unknown[block]) {
      outcome = Outcome::kNoPage;
    }
  }
  return outcome;
}

double ExactBlockFailure(const Spread& spread, double loss) {
  double whole = 1;
  for (uint32_t block = 0; block < spread.blocks(); ++block) {
    const uint32_t parity = spread.parity_of(block);
    const uint32_t count = spread.source_of(block) + parity;
    double failure = 0;
    for (uint32_t k = parity + 1; k <= count; ++k) {
      failure +=
          std::exp(std::lgamma(count + 1.0) - std::lgamma(k + 1.0) - std::lgamma(count - k + 1.0) +
                   k * std::log(loss) + (count - k) * std::log1p(-loss));
    }
    whole *= 1 - failure;
  }
  return 1 - whole;
}

double ExactHeaderFailure(uint32_t copies, uint32_t pages, double loss) {
  return -std::expm1((1.0 + pages) * std::log1p(-std::pow(loss, copies)));
}

std::vector<bool> DrawLosses(size_t datagrams, double loss, std::mt19937_64& random) {
  // By the generator's bits alone, so that a seed means the same everywhere.
  const auto limit = static_cast<uint64_t>(std::ldexp(loss, 64));
  std::vector<bool> lost(datagrams);
  for (size_t i = 0; i < datagrams; ++i) lost[i] = random() < limit;
  return lost;
}

}  // namespace nark::fec
