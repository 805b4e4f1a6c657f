#include "common/crypto/secret_bytes.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <new>
#include <thread>
#include <type_traits>
#include <vector>

namespace nark {
namespace {

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<SecretBytes>);

Bytes Pattern(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 1);
  return bytes;
}

// In the object itself, at the border, in a slot of the arena, in a mapping.
class SecretBytesTest : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, SecretBytesTest,
                         testing::Values(0, 1, 32, 63, 64, 65, 4095, 4096, 4097, 1 << 19));

TEST_P(SecretBytesTest, StartsAsZeros) {
  SecretBytes secret(GetParam());
  EXPECT_EQ(secret.size(), GetParam());
  EXPECT_EQ(ToBytes(secret.Reveal()), Bytes(GetParam(), 0));
}

TEST_P(SecretBytesTest, ACopyHoldsTheSameBytes) {
  Bytes plain = Pattern(GetParam());
  SecretBytes secret = SecretBytes::CopyOf(plain);
  SecretBytes clone = secret.Clone();
  EXPECT_EQ(ToBytes(secret.Reveal()), plain);
  EXPECT_TRUE(clone == secret);
  if (!plain.empty()) {
    EXPECT_NE(clone.Reveal().data(), secret.Reveal().data());
  }
}

TEST_P(SecretBytesTest, MovingEmptiesTheSource) {
  Bytes plain = Pattern(GetParam());
  SecretBytes source = SecretBytes::CopyOf(plain);
  SecretBytes target = std::move(source);
  EXPECT_EQ(ToBytes(target.Reveal()), plain);
  EXPECT_TRUE(source.empty());  // NOLINT(bugprone-use-after-move): what is tested
  SecretBytes assigned = SecretBytes::CopyOf(Pattern(100));
  assigned = std::move(target);
  EXPECT_EQ(ToBytes(assigned.Reveal()), plain);
  EXPECT_TRUE(target.empty());  // NOLINT(bugprone-use-after-move)
}

TEST_P(SecretBytesTest, MovingToItselfKeepsTheBytes) {
  SecretBytes secret = SecretBytes::CopyOf(Pattern(GetParam()));
  SecretBytes& same = secret;
  secret = std::move(same);
  EXPECT_EQ(ToBytes(secret.Reveal()), Pattern(GetParam()));
}

TEST_P(SecretBytesTest, OneDifferentBitMakesThemDiffer) {
  SecretBytes a = SecretBytes::CopyOf(Pattern(GetParam()));
  for (size_t i = 0; i < std::min<size_t>(GetParam(), 100); ++i) {
    SecretBytes b = a.Clone();
    b.RevealMutable()[GetParam() - 1 - i] ^= static_cast<uint8_t>(1 << (i % 8));
    EXPECT_FALSE(a == b) << i;
  }
  EXPECT_FALSE(a == SecretBytes(GetParam() + 1));
}

// Whether `plain` stands anywhere in the memory of an object that has gone.
bool Leaves(ByteView memory, ByteView plain) {
  return std::search(memory.begin(), memory.end(), plain.begin(), plain.end()) != memory.end();
}

TEST(SecretBytesWipeTest, MovingAndDestructionWipeTheObject) {
  Bytes plain = Pattern(48);
  alignas(SecretBytes) std::array<uint8_t, sizeof(SecretBytes)> memory{};
  auto* secret = new (memory.data()) SecretBytes(SecretBytes::CopyOf(plain));
  ASSERT_TRUE(Leaves(memory, plain));
  SecretBytes moved = std::move(*secret);
  EXPECT_FALSE(Leaves(memory, ByteView(plain).first(8)));
  *secret = std::move(moved);
  ASSERT_TRUE(Leaves(memory, plain));
  secret->~SecretBytes();
  EXPECT_FALSE(Leaves(memory, ByteView(plain).first(8)));
}

TEST(SecretBytesWipeTest, AssigningOverASecretWipesIt) {
  Bytes plain = Pattern(48);
  alignas(SecretBytes) std::array<uint8_t, sizeof(SecretBytes)> memory{};
  auto* secret = new (memory.data()) SecretBytes(SecretBytes::CopyOf(plain));
  *secret = SecretBytes(1000);
  EXPECT_FALSE(Leaves(memory, ByteView(plain).first(8)));
  secret->~SecretBytes();
}

TEST(SecretBytesWipeTest, AReusedSlotIsZeroed) {
  for (int i = 0; i < 200; ++i) {
    SecretBytes secret(1000);
    ASSERT_EQ(ToBytes(secret.Reveal()), Bytes(1000, 0));
    std::fill(secret.RevealMutable().begin(), secret.RevealMutable().end(), 0xaa);
  }
}

TEST(SecretBytesWipeTest, WipeClearsEverything) {
  Bytes bytes = Pattern(1000);
  Wipe(bytes);
  EXPECT_EQ(bytes, Bytes(1000, 0));
  Wipe({});
}

TEST(SecretBytesArenaTest, MoreSecretsThanSlotsStayApart) {
  std::vector<SecretBytes> secrets;
  for (int i = 0; i < 200; ++i) {
    secrets.push_back(SecretBytes::CopyOf(Bytes(500, static_cast<uint8_t>(i))));
  }
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(ToBytes(secrets[i].Reveal()), Bytes(500, static_cast<uint8_t>(i)));
  }
}

TEST(SecretBytesArenaTest, ThreadsDoNotShareASlot) {
  std::vector<std::thread> threads;
  std::atomic<int> broken = 0;
  for (uint8_t id = 1; id <= 4; ++id) {
    threads.emplace_back([id, &broken] {
      for (int i = 0; i < 2000; ++i) {
        SecretBytes secret = SecretBytes::CopyOf(Bytes(200, id));
        if (ToBytes(secret.Reveal()) != Bytes(200, id)) ++broken;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(broken, 0);
}

TEST(SecretBytesArenaTest, AForkedChildDoesNotWipeItsParentsSecrets) {
  auto secret = std::make_unique<SecretBytes>(SecretBytes::CopyOf(Pattern(1000)));
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    secret.reset();
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(ToBytes(secret->Reveal()), Pattern(1000));
}

// "dd" in VmFlags of /proc/self/smaps: do not dump (proc(5)).
bool IsLeftOutOfDumps(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  auto wanted = reinterpret_cast<uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      inside = begin <= wanted && wanted < end;
    }
    if (inside && line.rfind("VmFlags:", 0) == 0) return line.find(" dd") != std::string::npos;
  }
  return false;
}

TEST(SecretBytesDumpTest, LargeSecretsAreLeftOutOfCoreDumps) {
  std::ifstream smaps("/proc/self/smaps");
  if (!smaps.good()) GTEST_SKIP() << "/proc/self/smaps is not readable here";
  SecretBytes in_arena(1000);
  SecretBytes mapped(1 << 19);
  Bytes ordinary(1 << 19);
  EXPECT_TRUE(IsLeftOutOfDumps(in_arena.Reveal().data()));
  EXPECT_TRUE(IsLeftOutOfDumps(mapped.Reveal().data()));
  EXPECT_FALSE(IsLeftOutOfDumps(ordinary.data()));
}

TEST(SecretBytesDumpTest, DisableCoreDumpsForbidsDumpsAndDebuggersAndEmptiesImages) {
  // In a child: it can not be undone.
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    rlimit limit{1, 1};
    const auto filter = [] {
      std::string bits;
      std::ifstream("/proc/self/coredump_filter") >> bits;
      return bits;
    };
    if (filter() == "00000000") ::_exit(2);
    bool ok = DisableCoreDumps().ok() && ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
              ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 &&
              filter() == "00000000";
    ::_exit(ok ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace nark
