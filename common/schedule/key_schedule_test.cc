#include "common/schedule/key_schedule.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/model/vectors.h"

namespace nark::schedule {
namespace {

using absl::StatusCode;

SecretBytes ModelSeed() {
  return SecretBytes::CopyOf(model::HexField(model::Vectors()["schedule"], "seed"));
}

TEST(KeyScheduleVectorsTest, SenderRootsAreTheModels) {
  for (const auto& expected : model::Vectors()["schedule"]["roots"]) {
    const auto root = SenderRoot(ModelSeed(), model::ModelSession(), expected["sub_session"],
                                 {expected["generator"], expected["depth"]}, expected["sender_id"]);
    ASSERT_TRUE(root.ok()) << root.status();
    EXPECT_EQ(ToHex(root->Reveal()), expected["root"]);
  }
}

TEST(KeyScheduleTest, EveryPartOfTheScopeMakesAnotherRoot) {
  const SecretBytes seed = ModelSeed();
  SessionName provider = model::ModelSession(), session = model::ModelSession();
  provider.provider[0] ^= 1;
  session.session_id[0] ^= 1;
  SecretBytes other_seed = seed.Clone();
  other_seed.RevealMutable()[31] ^= 1;
  const SessionName name = model::ModelSession();
  const Parameters marks{"marks", 32};
  std::set<std::string> roots;
  const auto add = [&roots](const absl::StatusOr<SecretBytes>& root) {
    ASSERT_TRUE(root.ok()) << root.status();
    EXPECT_TRUE(roots.insert(ToHex(root->Reveal())).second) << "two scopes share a root";
  };
  add(SenderRoot(seed, name, 0, marks, 1));
  add(SenderRoot(other_seed, name, 0, marks, 1));
  add(SenderRoot(seed, provider, 0, marks, 1));
  add(SenderRoot(seed, session, 0, marks, 1));
  add(SenderRoot(seed, name, 1, marks, 1));
  add(SenderRoot(seed, name, 0, {"hkdf", 32}, 1));
  add(SenderRoot(seed, name, 0, {"marks", 31}, 1));
  add(SenderRoot(seed, name, 0, marks, 2));
}

TEST(KeyScheduleTest, RefusesSeedsAndGeneratorsThatAreNone) {
  const SessionName name = model::ModelSession();
  const auto code = [&](const SecretBytes& seed, const Parameters& generator) {
    return SenderRoot(seed, name, 0, generator, 1).status().code();
  };
  EXPECT_EQ(code(SecretBytes(31), {"marks", 32}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(SecretBytes(32), {"mark", 32}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(SecretBytes(32), {"marks", 64}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(SecretBytes(32), {"marks", 0}), StatusCode::kInvalidArgument);
}

struct KeyInputs {
  SecretBytes leaf{32};
  Digest context{};
  Bytes core = Bytes(73);
  Bytes control_block = Bytes(96);
};

TEST(KeyScheduleTest, KeysAreBoundToEveryByteOfTheirInputs) {
  const KeyInputs inputs;
  std::set<std::string> keys;
  const auto add = [&keys](const absl::StatusOr<SecretBytes>& key) {
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_TRUE(keys.insert(ToHex(key->Reveal().first(16))).second);
  };
  add(ControlKey(inputs.leaf, inputs.context, inputs.core));
  add(DataKey(inputs.leaf, inputs.context, inputs.core, inputs.control_block, 16));
  for (size_t i = 0; i < inputs.core.size(); ++i) {
    Bytes core = inputs.core;
    core[i] ^= 0x80;
    add(ControlKey(inputs.leaf, inputs.context, core));
    add(DataKey(inputs.leaf, inputs.context, core, inputs.control_block, 16));
  }
  for (size_t i = 0; i < inputs.control_block.size(); ++i) {
    Bytes control_block = inputs.control_block;
    control_block[i] ^= 1;
    add(DataKey(inputs.leaf, inputs.context, inputs.core, control_block, 16));
  }
  Digest context = inputs.context;
  context[31] ^= 1;
  add(ControlKey(inputs.leaf, context, inputs.core));
  add(DataKey(inputs.leaf, context, inputs.core, inputs.control_block, 16));
}

TEST(KeyScheduleTest, RefusesSizesThatItCannotGive) {
  const KeyInputs inputs;
  const auto code = [&](const SecretBytes& leaf, size_t key_bytes) {
    return DataKey(leaf, inputs.context, inputs.core, inputs.control_block, key_bytes)
        .status()
        .code();
  };
  EXPECT_EQ(code(inputs.leaf, 32), StatusCode::kOk);
  EXPECT_EQ(code(inputs.leaf, 33), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(inputs.leaf, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(SecretBytes(16), 16), StatusCode::kInvalidArgument);
  EXPECT_EQ(ControlKey(SecretBytes(), inputs.context, inputs.core).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ControlKey(inputs.leaf, inputs.context, inputs.core)->size(), 16u);
}

}  // namespace
}  // namespace nark::schedule
