#ifndef NARK_TESTS_FEC_LOSS_MODEL_H_
#define NARK_TESTS_FEC_LOSS_MODEL_H_

#include <cstdint>
#include <random>
#include <vector>

#include "common/base/bytes.h"
#include "common/fec/spread.h"
#include "common/wire/header.h"

namespace nark::fec {

// What can be put together of one ADU where some of its datagrams are lost, by counting
// alone: nothing is hashed or decoded, so that millions of losses can be looked at.
// Knows of the sender just the datagrams that it sent. One thread only.
class LossModel {
 public:
  enum class Outcome : uint8_t {
    kDelivered,
    kNoHeader,  // every copy is lost
    kNoPage,    // not enough of a block can be checked, but it had come
    kNoBlock,   // not enough of a block came
  };
  // All datagrams of one ADU, in the order in which they were sent.
  explicit LossModel(const std::vector<Bytes>& datagrams);

  // `lost[i]` is of the i-th datagram.
  Outcome Judge(const std::vector<bool>& lost);

  const wire::Header& header() const { return header_; }
  const Spread& spread() const { return spread_; }
  size_t datagrams() const { return sent_.size(); }
  size_t bytes() const { return bytes_; }
  uint32_t pages() const { return pages_; }
  uint32_t copies() const { return copies_; }  // of the header
  bool whole() const { return whole_; }        // one datagram

 private:
  struct Sent {
    wire::DatagramKind kind;
    uint32_t index;
  };
  bool Known(const std::vector<bool>& pages, uint32_t level, uint32_t position) const;

  std::vector<Sent> sent_;
  wire::Header header_;
  Spread spread_{1, 0};
  std::vector<uint32_t> levels_;  // wire::LevelSizes
  std::vector<uint32_t> first_page_of_level_;
  uint32_t pages_ = 0;
  uint32_t copies_ = 0;
  size_t bytes_ = 0;
  bool whole_ = false;
};

// Exact, from the binomial distribution, each datagram lost by itself. By logarithms of
// factorials, which the sender's own arithmetic does not use.
double ExactBlockFailure(const Spread& spread, double loss);
double ExactHeaderFailure(uint32_t copies, uint32_t pages, double loss);

// Draws which datagrams are lost, each with `loss`, by itself.
std::vector<bool> DrawLosses(size_t datagrams, double loss, std::mt19937_64& random);

}  // namespace nark::fec

#endif  // NARK_TESTS_FEC_LOSS_MODEL_H_
