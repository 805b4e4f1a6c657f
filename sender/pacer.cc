#include "sender/pacer.h"

#include <algorithm>

namespace nark::sender {

using std::chrono::microseconds;

Slot Pacer::Next(const Adu& adu, Timestamp now) {
  switch (kind_) {
    case Kind::kRate:
      return NextAtRate(adu, now);
    case Kind::kProgramme:
      if (adu.time.has_value()) return NextByProgramme(*adu.time, now);
      break;
    case Kind::kMax:
      break;
  }
  return Slot{now, microseconds(0)};
}

Slot Pacer::NextAtRate(const Adu& adu, Timestamp now) {
  if (!due_.has_value() || now - *due_ > kMaxLag) due_ = now;
  Slot slot{*due_,
            microseconds(static_cast<int64_t>(static_cast<unsigned __int128>(adu.bytes.size()) * 8 *
                                              1'000'000 / bits_per_second_))};
  due_ = slot.begin + slot.length;
  return slot;
}

Slot Pacer::NextByProgramme(const ProgrammeTime& time, Timestamp now) {
  if (!origin_.has_value() || now - (*origin_ + time.begin) > kMaxLag) origin_ = now - time.begin;
  return Slot{*origin_ + time.begin, time.end - time.begin};
}

}  // namespace nark::sender
