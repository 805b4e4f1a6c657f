// The known attack on Chameleon, and what is left of it where last bits are sent as nobody
// knows them. The attacker is a receiver: he opens AES-GCM, and so has the index key and the
// samples as Chameleon left them.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/audit/family.h"
#include "common/audit/stream_keys.h"
#include "common/crypto/aead.h"
#include "common/crypto/random.h"
#include "common/wire/cipher.h"
#include "tests/audit/block_solver.h"

namespace nark::audit {
namespace {

constexpr uint64_t kSeed = 1999;
constexpr uint32_t kWordsLog2 = 12;
constexpr size_t kWords = size_t{1} << kWordsLog2;
// Of one ADU, which is samples and nothing else.
constexpr size_t kAduBytes = 8192;
constexpr size_t kPreambleBytes = 24;
// The last bits of a word's four samples.
constexpr uint64_t kLastBits = 0x0001000100010001;

uint64_t LoadLittle64(const uint8_t* bytes) {
  uint64_t word = 0;
  for (size_t i = 8; i-- > 0;) word = word << 8 | bytes[i];
  return word;
}

SecretBytes RandomSecret(SeededRandom& random, size_t size) {
  SecretBytes secret(size);
  (void)random.Fill(secret.RevealMutable());
  return secret;
}

std::shared_ptr<const ChameleonBlock> Shared(SecretBytes bytes) {
  return std::make_shared<const ChameleonBlock>(*ChameleonBlock::Of(std::move(bytes)));
}

std::vector<uint64_t> WordsOf(const ChameleonBlock& block) {
  std::vector<uint64_t> words;
  for (size_t i = 0; i < block.bytes().size(); i += 8) {
    words.push_back(LoadLittle64(&block.bytes().Reveal()[i]));
  }
  return words;
}

std::shared_ptr<const ChameleonBlock> BlockOf(const std::vector<uint64_t>& words) {
  SecretBytes bytes(8 * words.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes.RevealMutable()[i] = static_cast<uint8_t>(words[i / 8] >> 8 * (i % 8));
  }
  return Shared(std::move(bytes));
}

ChosenWords ChosenBy(const SecretBytes& index_stream, size_t word) {
  ChosenWords chosen;
  for (size_t k = 0; k < kChameleonWords; ++k) {
    const uint8_t* lane = &index_stream.Reveal()[8 * word + 2 * k];
    chosen[k] = static_cast<uint16_t>((lane[0] | lane[1] << 8) % kWords);
  }
  return chosen;
}

// What an ADU was before it was sealed, and is after.
struct SentAdu {
  Bytes recording;
  SecretBytes plane_key;
  SecretBytes data_key;
  Bytes sealed;
};

// What a receiver sees of it before his block is used.
struct OpenedAdu {
  SecretBytes index_stream;
  Bytes samples;
};

OpenedAdu Opened(const SentAdu& adu) {
  const auto aead = *Aead::Create(AeadAlgorithm::kAes128Gcm);
  Bytes inner(kPreambleBytes + kAduBytes);
  EXPECT_TRUE(aead->Open(adu.data_key, Bytes(kAeadNonceBytes), {}, adu.sealed, inner).ok());
  const ByteView index_key = ByteView(inner).first(kKeystreamKeyBytes);
  return {*KeystreamOf(SecretBytes::CopyOf(index_key), kAduBytes),
          ToBytes(ByteView(inner).subspan(kPreambleBytes))};
}

class KnownPlaintextTest : public testing::Test {
 protected:
  KnownPlaintextTest() { RecordProperty("seed", std::to_string(kSeed)); }

  SentAdu NextAdu() {
    SentAdu adu{Bytes(kAduBytes), RandomSecret(random_, 16), RandomSecret(random_, 16), {}};
    (void)random_.Fill(adu.recording);
    adu.sealed.resize(suite_.CiphertextBytes(kAduBytes));
    sender_->MarkNext({{RandomSecret(random_, 16), adu.plane_key.Clone()}, 0, kAduBytes});
    EXPECT_TRUE(sender_->Seal(adu.data_key, {}, adu.recording, adu.sealed).ok());
    return adu;
  }

  Bytes Played(const SentAdu& adu, std::shared_ptr<const ChameleonBlock> block) const {
    Bytes played(kAduBytes);
    EXPECT_TRUE(
        (*suite_.Create(std::move(block)))->Open(adu.data_key, {}, adu.sealed, played).ok());
    return played;
  }

  static Bytes AsSent(const SentAdu& adu) {
    Bytes sent = adu.recording;
    EXPECT_TRUE(LsbPlane::Create()->Set(adu.plane_key, sent).ok());
    return sent;
  }

  // Calls with the words chosen, and their XOR if `known` were the plaintext, until told
  // to stop.
  static void ForEachWord(const SentAdu& adu, const Bytes& known, auto&& take) {
    const OpenedAdu opened = Opened(adu);
    for (size_t j = 0; j < kAduBytes / 8; ++j) {
      take(ChosenBy(opened.index_stream, j),
           LoadLittle64(&known[8 * j]) ^ LoadLittle64(&opened.samples[8 * j]));
    }
  }

  // Solves from what `known` says the plaintext of each ADU was, and says how many words of
  // it that took.
  size_t Solve(BlockSolver& solver, auto&& known) {
    size_t words = 0, needed = 0;
    while (solver.rank() < kWords - 1) {
      const SentAdu adu = NextAdu();
      ForEachWord(adu, known(adu), [&](const ChosenWords& chosen, uint64_t sum) {
        ++words;
        const size_t rank = solver.rank();
        EXPECT_EQ(solver.Add(chosen, sum).value_or(0), 0u) << "word " << words;
        if (solver.rank() > rank) needed = words;
      });
    }
    return needed;
  }

  // How many symbols of the attacker's codeword he gets right who compares his block with
  // what he takes for the base block, up to one word XORed into all: in each lane, most words
  // bear no mark, or none of 1. He is told the lanes.
  size_t GuessedRight(const std::vector<uint64_t>& base) const {
    const std::vector<uint64_t> own = WordsOf(*family_.MarkedBlockOf(attacker_));
    std::array<size_t, kLanes> differ{};
    for (size_t i = 0; i < kWords; ++i) {
      for (size_t k = 0; k < kLanes; ++k) differ[k] += (base[i] ^ own[i]) >> 16 * k & 1;
    }
    const SecretBytes codeword = *family_.CodewordOf(attacker_);
    size_t right = 0;
    for (size_t i = 0; i < kWords; ++i) {
      const uint8_t lane = family_.symbols()[i].lane;
      const bool marked = (base[i] ^ own[i]) >> 16 * lane & 1;
      const bool guess = marked != (differ[lane] > kWords / 2);
      right += guess == (codeword.Reveal()[i] == 1) ? 1 : 0;
    }
    return right;
  }

  const wire::CipherSuite& suite_ = **wire::FindCipher("chameleon");
  SeededRandom random_{kSeed};
  const Family family_ = *Family::Of(RandomSecret(random_, 32), kWordsLog2);
  const Digest attacker_{1}, victim_{2};
  const std::shared_ptr<const ChameleonBlock> base_ =
      Shared(*BaseBlockBytes(*family_.BaseBlockKey(), kWordsLog2));
  const std::unique_ptr<wire::AduCipher> sender_ = *suite_.Create(base_);
};

// All words differ from those of the other block by the same word.
::testing::AssertionResult AreAlike(const std::vector<uint64_t>& one, const ChameleonBlock& block,
                                    uint64_t bits = ~uint64_t{0}) {
  const std::vector<uint64_t> other = WordsOf(block);
  for (size_t i = 0; i < one.size(); ++i) {
    if (((one[i] ^ other[i] ^ one[0] ^ other[0]) & bits) != 0) {
      return ::testing::AssertionFailure() << "word " << i;
    }
  }
  return ::testing::AssertionSuccess();
}

// So it is with a sender who gives his recordings and plane keys away, and would be for
// everybody who knows the recording if last bits were sent as they are in it.
TEST_F(KnownPlaintextTest, WhoKnowsWhatWasSentSolvesTheBaseBlockAndPlaysOnUnmarked) {
  BlockSolver solver(kWords);
  const size_t needed = Solve(solver, AsSent);
  const double ratio = static_cast<double>(needed) / kWords;
  std::printf("a block of %zu words took %zu words of known plaintext: %.2f times its size\n",
              kWords, needed, ratio);
  EXPECT_GT(ratio, 1);
  EXPECT_LT(ratio, 4);
  const std::vector<uint64_t> solution = solver.Solution();
  EXPECT_TRUE(AreAlike(solution, *base_));
  const SentAdu later = NextAdu();
  EXPECT_EQ(Played(later, BlockOf(solution)), AsSent(later));
  EXPECT_NE(Played(later, std::make_shared<ChameleonBlock>(*family_.MarkedBlockOf(attacker_))),
            AsSent(later));
}

// In the copy, the secret last bits are as they were sent but for the marks.
TEST_F(KnownPlaintextTest, WhoHasAnothersCopyAsPlayedMarksLaterOnesInHisName) {
  const auto victims = std::make_shared<ChameleonBlock>(*family_.MarkedBlockOf(victim_));
  BlockSolver solver(kWords);
  Solve(solver, [&](const SentAdu& adu) { return Played(adu, victims); });
  const std::vector<uint64_t> solution = solver.Solution();
  EXPECT_TRUE(AreAlike(solution, *victims));
  const SentAdu later = NextAdu();
  EXPECT_EQ(Played(later, BlockOf(solution)), Played(later, victims));
}

TEST_F(KnownPlaintextTest, AsMuchPlaintextAsTheBlockIsLargeReadsMostOfWhatComes) {
  for (const double times : {0.75, 1.0, 1.25}) {
    BlockSolver solver(kWords);
    size_t words = 0, read = 0, later = 0;
    while (later < 4096) {
      const SentAdu adu = NextAdu();
      ForEachWord(adu, AsSent(adu), [&](const ChosenWords& chosen, uint64_t sum) {
        if (words < times * kWords) {
          ++words;
          solver.Add(chosen, sum);
        } else {
          ++later;
          read += solver.Knows(chosen) ? 1 : 0;
        }
      });
    }
    const double share = static_cast<double>(read) / static_cast<double>(later);
    std::printf("%.2f times its size: rank %zu of %zu, %.1f %% of later words are read\n", times,
                solver.rank(), kWords - 1, 100 * share);
    // Nothing below the threshold of random systems of four, nearly all above it.
    if (times < 1) {
      EXPECT_LT(share, 0.05);
    } else {
      EXPECT_GT(share, times == 1 ? 0.5 : 0.9);
    }
  }
}

// Each word has to be chosen once at the least: a quarter of the logarithm of the block's
// words, times its size.
TEST_F(KnownPlaintextTest, AllOfABlockOf512KiBTakesSomeOneAndAHalfMebibytes) {
  constexpr size_t kLargest = size_t{1} << ChameleonBlock::kMaxWordsLog2;
  std::vector<double> mebibytes;
  for (int round = 0; round < 5; ++round) {
    const SecretBytes stream = *KeystreamOf(RandomSecret(random_, 16), 8 * 6 * kLargest);
    std::vector<bool> chosen(kLargest);
    size_t left = kLargest, words = 0;
    for (; left > 0 && words < 6 * kLargest; ++words) {
      for (size_t k = 0; k < kChameleonWords; ++k) {
        const uint8_t* lane = &stream.Reveal()[8 * words + 2 * k];
        const size_t word = static_cast<size_t>(lane[0] | lane[1] << 8);
        left -= chosen[word] ? 0 : 1;
        chosen[word] = true;
      }
    }
    ASSERT_EQ(left, 0u);
    mebibytes.push_back(static_cast<double>(8 * words) / (1 << 20));
  }
  std::sort(mebibytes.begin(), mebibytes.end());
  std::printf("each word of 512 KiB was chosen after %.2f MiB (median of %zu)\n", mebibytes[2],
              mebibytes.size());
  EXPECT_GT(mebibytes[2], 1.2);
  EXPECT_LT(mebibytes[2], 1.9);
}

// The answer to the attack.
TEST_F(KnownPlaintextTest, WhoKnowsTheRecordingAloneLearnsNothingOfTheMarks) {
  BlockSolver solver(kWords);
  size_t checked = 0;
  std::array<size_t, kLanes> contradicted{};
  while (solver.rank() < kWords - 1 || checked < 4096) {
    const SentAdu adu = NextAdu();
    ForEachWord(adu, adu.recording, [&](const ChosenWords& chosen, uint64_t sum) {
      const std::optional<uint64_t> wrong = solver.Add(chosen, sum);
      if (!wrong.has_value()) return;
      ++checked;
      // Of the other bits all is known, and without use: no block differs in them.
      ASSERT_EQ(*wrong & ~kLastBits, 0u);
      for (size_t lane = 0; lane < kLanes; ++lane) contradicted[lane] += *wrong >> 16 * lane & 1;
    });
  }
  const std::vector<uint64_t> solution = solver.Solution();
  EXPECT_TRUE(AreAlike(solution, *base_, ~kLastBits));
  EXPECT_TRUE(AreAlike(solution, *family_.MarkedBlockOf(victim_), ~kLastBits));
  // Six standard deviations throughout.
  for (const size_t times : contradicted) {
    EXPECT_NEAR(static_cast<double>(times) / static_cast<double>(checked), 0.5,
                3 / std::sqrt(checked));
  }
  const size_t right = GuessedRight(solution);
  std::printf("%.1f %% of his codeword guessed right\n",
              100.0 * static_cast<double>(right) / kWords);
  EXPECT_NEAR(static_cast<double>(right) / kWords, 0.5, 3 / std::sqrt(kWords));
}

// The attacker of the test above is no weaker than he has to be.
TEST_F(KnownPlaintextTest, WhoKnowsThePlaneTooReadsHisWholeCodeword) {
  BlockSolver solver(kWords);
  Solve(solver, AsSent);
  EXPECT_EQ(GuessedRight(solver.Solution()), kWords);
}

// No secret is wanted for it, and nobody hears it: full scale is 32,768.
TEST_F(KnownPlaintextTest, WhoTossesForLastBitsIsRidOfTheMarkAtMinus90Decibels) {
  const auto own = std::make_shared<ChameleonBlock>(*family_.MarkedBlockOf(attacker_));
  double power = 0;
  size_t samples = 0, marks = 0, left = 0;
  for (int i = 0; i < 32; ++i) {
    const SentAdu adu = NextAdu();
    const Bytes sent = AsSent(adu), played = Played(adu, own);
    Bytes tossed = played;
    ASSERT_TRUE(LsbPlane::Create()->Set(RandomSecret(random_, 16), tossed).ok());
    for (size_t at = 0; at < kAduBytes; at += 2) {
      ++samples;
      power += tossed[at] == played[at] ? 0 : 1;
      ASSERT_EQ(tossed[at + 1], played[at + 1]);
      if (played[at] == sent[at]) continue;
      ++marks;
      left += tossed[at] == played[at] ? 1 : 0;
    }
  }
  const double decibels = 20 * std::log10(std::sqrt(power / samples) / 32768);
  std::printf("noise at %.1f dB leaves %.1f %% of marks\n", decibels,
              100.0 * static_cast<double>(left) / static_cast<double>(marks));
  EXPECT_LT(decibels, -90);
  EXPECT_GT(marks, 1000u);
  EXPECT_NEAR(static_cast<double>(left) / static_cast<double>(marks), 0.5, 3 / std::sqrt(marks));
}

}  // namespace
}  // namespace nark::audit
