#include "securespace/tpm_counter.h"

#include <gtest/gtest.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "securespace/fake_rollback_counter.h"
#include "tests/harness/swtpm.h"

namespace nark::securespace {
namespace {

SecretBytes Authorisation(uint8_t seed = 7) {
  SecretBytes value(32);
  for (uint8_t& byte : value.RevealMutable()) byte = seed++;
  return value;
}

std::unique_ptr<TpmCounter> Defined(const std::string& tcti, uint8_t seed = 7) {
  auto counter = TpmCounter::Define(tcti, Authorisation(seed));
  EXPECT_TRUE(counter.ok()) << counter.status();
  return counter.ok() ? *std::move(counter) : nullptr;
}

// What every counter promises; run on the fake and on a TPM.
struct Kind {
  virtual ~Kind() = default;
  virtual RollbackCounter& counter() = 0;
};
struct Fake final : Kind {
  RollbackCounter& counter() override { return fake; }
  FakeRollbackCounter fake;
};
struct Tpm final : Kind {
  RollbackCounter& counter() override { return *real; }
  harness::Swtpm tpm;
  std::unique_ptr<TpmCounter> real = Defined(tpm.tcti());
};

class RollbackCounterContractTest : public testing::TestWithParam<std::string> {
 protected:
  RollbackCounterContractTest() {
    if (GetParam() == "Tpm") {
      kind_ = std::make_unique<Tpm>();
    } else {
      kind_ = std::make_unique<Fake>();
    }
  }
  std::unique_ptr<Kind> kind_;
};

TEST_P(RollbackCounterContractTest, GoesUpByOneAndStaysThere) {
  RollbackCounter& counter = kind_->counter();
  const auto start = counter.Read();
  ASSERT_TRUE(start.ok()) << start.status();
  const Digest identity = counter.identity();
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_TRUE(counter.Increment().ok());
    EXPECT_EQ(*counter.Read(), *start + i);
    EXPECT_EQ(*counter.Read(), *start + i);
  }
  EXPECT_EQ(counter.identity(), identity);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RollbackCounterContractTest, testing::Values("Fake", "Tpm"),
                         [](const auto& info) { return info.param; });

// As whoever has the owner's authorisation, which is empty.
void DeleteAsOwner(const std::string& tcti, uint32_t index) {
  TSS2_TCTI_CONTEXT* transport = nullptr;
  ESYS_CONTEXT* esys = nullptr;
  ESYS_TR object = ESYS_TR_NONE;
  ASSERT_EQ(Tss2_TctiLdr_Initialize(tcti.c_str(), &transport), TSS2_RC_SUCCESS);
  ASSERT_EQ(Esys_Initialize(&esys, transport, nullptr), TSS2_RC_SUCCESS);
  EXPECT_EQ(Esys_TR_FromTPMPublic(esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object),
            TSS2_RC_SUCCESS);
  EXPECT_EQ(Esys_NV_UndefineSpace(esys, ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                  ESYS_TR_NONE),
            TSS2_RC_SUCCESS);
  Esys_Finalize(&esys);
  Tss2_TctiLdr_Finalize(&transport);
}

class TpmCounterTest : public testing::Test {
 protected:
  harness::Swtpm tpm_;
};

TEST_F(TpmCounterTest, IsFoundAgainWithItsValue) {
  TpmBinding binding;
  uint64_t value = 0;
  {
    auto counter = Defined(tpm_.tcti());
    ASSERT_NE(counter, nullptr);
    ASSERT_TRUE(counter->Increment().ok());
    value = *counter->Read();
    binding = counter->binding();
  }
  auto again = TpmCounter::Open(binding, Authorisation());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*(*again)->Read(), value);
}

TEST_F(TpmCounterTest, ValueOutlivesAPowerCut) {
  auto counter = Defined(tpm_.tcti());
  ASSERT_TRUE(counter->Increment().ok());
  const uint64_t value = *counter->Read();
  tpm_.Crash();
  const absl::Status away = counter->Increment();
  EXPECT_TRUE(absl::IsUnavailable(away)) << away;
  EXPECT_TRUE(absl::StrContains(away.message(), tpm_.tcti())) << away;
  tpm_.Start();
  auto again = TpmCounter::Open(counter->binding(), Authorisation());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*(*again)->Read(), value);
  ASSERT_TRUE((*again)->Increment().ok());
  EXPECT_EQ(*(*again)->Read(), value + 1);
}

TEST_F(TpmCounterTest, OnlyItsOwnAuthorisationUsesIt) {
  auto counter = Defined(tpm_.tcti());
  auto thief = TpmCounter::Open(counter->binding(), Authorisation(9));
  ASSERT_TRUE(thief.ok()) << thief.status();  // finding it takes no authorisation
  const absl::Status refused = (*thief)->Increment();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_FALSE((*thief)->Read().ok());
  EXPECT_NE((*thief)->identity(), counter->identity());
  EXPECT_TRUE(counter->Increment().ok());
}

TEST_F(TpmCounterTest, EachTakesAnIndexOfItsOwn) {
  auto a = Defined(tpm_.tcti());
  auto b = Defined(tpm_.tcti());
  EXPECT_NE(a->binding().index, b->binding().index);
  const uint64_t value = *a->Read();
  ASSERT_TRUE(b->Increment().ok());
  EXPECT_EQ(*a->Read(), value);
  EXPECT_NE(a->identity(), b->identity());
}

TEST_F(TpmCounterTest, ManyCommandsLeaveNothingBehindInTheTpm) {
  auto counter = Defined(tpm_.tcti());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(counter->Increment().ok()) << i;
}

// Nobody tidies up behind a process that is killed in the middle.
TEST_F(TpmCounterTest, SessionsOfTheDeadDoNotStandInTheWay) {
  auto counter = Defined(tpm_.tcti());
  TSS2_TCTI_CONTEXT* transport = nullptr;
  ESYS_CONTEXT* esys = nullptr;
  ASSERT_EQ(Tss2_TctiLdr_Initialize(tpm_.tcti().c_str(), &transport), TSS2_RC_SUCCESS);
  ASSERT_EQ(Esys_Initialize(&esys, transport, nullptr), TSS2_RC_SUCCESS);
  TSS2_RC code = TSS2_RC_SUCCESS;
  for (int i = 0; i < 10 && code == TSS2_RC_SUCCESS; ++i) {
    const TPMT_SYM_DEF none{.algorithm = TPM2_ALG_NULL, .keyBits = {}, .mode = {}};
    ESYS_TR session = ESYS_TR_NONE;
    code = Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE, nullptr, TPM2_SE_HMAC, &none, TPM2_ALG_SHA256,
                                 &session);
  }
  EXPECT_EQ(code, TPM2_RC_SESSION_MEMORY);
  Esys_Finalize(&esys);
  Tss2_TctiLdr_Finalize(&transport);
  EXPECT_TRUE(counter->Increment().ok());
  EXPECT_TRUE(TpmCounter::Open(counter->binding(), Authorisation()).ok());
}

TEST_F(TpmCounterTest, AnotherTpmIsRefused) {
  auto counter = Defined(tpm_.tcti());
  harness::Swtpm other;
  TpmBinding binding = counter->binding();
  binding.tcti = other.tcti();
  const absl::Status refused = TpmCounter::Open(binding, Authorisation()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "not in the TPM")) << refused;
}

TEST_F(TpmCounterTest, MadeAnewItStartsAboveWhatItWas) {
  auto counter = Defined(tpm_.tcti());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(counter->Increment().ok());
  const uint64_t value = *counter->Read();
  DeleteAsOwner(tpm_.tcti(), counter->binding().index);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(TpmCounter::Open(counter->binding(), Authorisation()).status()));
  auto anew = Defined(tpm_.tcti());
  ASSERT_EQ(anew->binding().index, counter->binding().index);
  EXPECT_GT(*anew->Read(), value);
}

TEST(TpmBindingTest, IsReadBackAndNothingElseIs) {
  const TpmBinding binding{"device:/dev/tpmrm0", 0x01804E00, {0, 11, 255}};
  const std::string text = Format(binding);
  EXPECT_EQ(text, "tcti = \"device:/dev/tpmrm0\"\nindex = \"0x01804e00\"\nname = \"000bff\"\n");
  const auto parsed = ParseTpmBinding(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(Format(*parsed), text);
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(ParseTpmBinding(text.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ParseTpmBinding(text + "\n").ok());
}

TEST(TpmBindingTest, NamesNoOtherWay) {
  for (const char* tcti : {"device:", "swtpm:path=", "swtpm:host=a,port=1", "cmd:/bin/sh",
                           "/tmp/library.so", "swtpm:path=/a,host=b", "device:/dev/\"x", ""}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckTcti(tcti))) << tcti;
    EXPECT_TRUE(absl::IsInvalidArgument(TpmCounter::Define(tcti, Authorisation()).status()))
        << tcti;
  }
}

TEST(TpmBindingTest, ATpmThatIsNotThereIsUnavailable) {
  for (const char* tcti : {"device:/dev/no-tpm", "swtpm:path=/tmp/no-tpm"}) {
    const absl::Status refused = TpmCounter::Define(tcti, Authorisation()).status();
    EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
    EXPECT_TRUE(absl::StrContains(refused.message(), tcti)) << refused;
  }
}

}  // namespace
}  // namespace nark::securespace
