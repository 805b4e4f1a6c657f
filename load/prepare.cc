#include "load/prepare.h"

#include <algorithm>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/file.h"
#include "common/object/identity_files.h"
#include "common/object/provider.h"
#include "nark/v1/note.pb.h"

namespace nark::load {
namespace {

// What the threads make before it is written.
constexpr uint64_t kBatch = 512;

absl::Status Check(const PrepareSettings& settings) {
  if (settings.viewers < 1 || settings.viewers > 10'000'000) {
    return absl::InvalidArgumentError("--viewers takes 1 to 10000000");
  }
  if (settings.stagger < 1) return absl::InvalidArgumentError("--stagger is at least 1");
  if (settings.last_adu > std::numeric_limits<uint64_t>::max() - settings.stagger) {
    return absl::InvalidArgumentError("--range ends too late for --stagger");
  }
  return absl::OkStatus();
}

absl::StatusOr<SigningIdentity> ReadTill(const std::string& folder, const Certificate& root,
                                         Timestamp now) {
  ASSIGN_OR_RETURN(SigningIdentity till,
                   ReadIdentity(folder + "/till/certificate.pem", folder + "/till/key.pem"));
  absl::Status chain =
      VerifyChain(till.Chain(), root, {.at = now, .leaf_role = CertificateRole::kTill}).status();
  if (!chain.ok()) return Annotate(chain, folder + "/till/certificate.pem");
  return till;
}

}  // namespace

absl::StatusOr<ViewerEntry> MakeViewer(const PrepareSettings& settings, const ViewerMakers& makers,
                                       uint64_t number, Timestamp now) {
  ASSIGN_OR_RETURN(const PrivateKey attestation, PrivateKey::Generate());
  ASSIGN_OR_RETURN(const PrivateKey note, PrivateKey::Generate());
  const SecureSpaceRequest request = {
      .attestation_key = attestation.public_key(),
      .scope = {.note_spki = note.public_key().spki(),
                .assurance = static_cast<uint8_t>(v1::ASSURANCE_CLASS_EMULATED)}};
  ASSIGN_OR_RETURN(const Certificate certificate, CertifySecureSpace(request, makers.issuer, now));
  VoucherOptions purchase;
  purchase.secure_space_id =
      SecureSpaceId(attestation.public_key().spki(), note.public_key().spki());
  const uint64_t moved = number % settings.stagger;
  purchase.policy.mutable_range()->set_first(settings.first_adu + moved);
  purchase.policy.mutable_range()->set_last(settings.last_adu + moved);
  purchase.payer_reference = "nark-load";
  if (makers.session.terms().has_price_per_adu()) {
    purchase.price = makers.session.terms().price_per_adu();
    purchase.price->set_amount_minor(0);
  }
  ViewerEntry viewer;
  viewer.id = purchase.secure_space_id;
  viewer.certificate = ToText(certificate.der());
  ASSIGN_OR_RETURN(viewer.key, attestation.ToPkcs8());
  ASSIGN_OR_RETURN(viewer.voucher,
                   MakeVoucher(purchase, makers.session, makers.till, now, makers.random));
  return viewer;
}

absl::Status Prepare(const PrepareSettings& settings, Timestamp now, Random& random,
                     const std::function<void(uint64_t made)>& progress) {
  RETURN_IF_ERROR(Check(settings));
  ASSIGN_OR_RETURN(const v1::NarkFile file,
                   ReadNarkFile(settings.session_path, v1::NarkFile::kSessionDescriptor));
  auto session = VerifiedSession::Verify(file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), settings.session_path);
  ASSIGN_OR_RETURN(const Certificate root,
                   ReadRoot(settings.provider + "/root.pem", CertificateRole::kProviderRoot));
  if (session->name().provider != root.public_key().id()) {
    return absl::InvalidArgumentError(absl::StrCat(
        settings.session_path, " is a session of another provider than ", settings.provider));
  }
  ASSIGN_OR_RETURN(const SigningIdentity till, ReadTill(settings.provider, root, now));
  RETURN_IF_ERROR(ReadRoot(settings.issuer + "/issuer.pem", CertificateRole::kIssuerRoot).status());
  ASSIGN_OR_RETURN(const SigningIdentity issuer,
                   ReadIdentity(settings.issuer + "/issuer.pem", settings.issuer + "/key.pem"));
  const ViewerMakers makers = {
      .session = *session, .issuer = issuer, .till = till, .random = random};
  ASSIGN_OR_RETURN(
      ViewerFileWriter writer,
      ViewerFileWriter::Create(settings.out, {.session = session->name(),
                                              .terms_identity = session->terms_identity(),
                                              .viewers = static_cast<uint32_t>(settings.viewers)}));
  const uint64_t threads = std::max(1u, std::thread::hardware_concurrency());
  for (uint64_t first = 0; first < settings.viewers; first += kBatch) {
    const uint64_t size = std::min(kBatch, settings.viewers - first);
    std::vector<absl::StatusOr<ViewerEntry>> batch(size);
    std::vector<std::thread> workers;
    for (uint64_t worker = 0; worker < threads; ++worker) {
      workers.emplace_back([&, worker] {
        for (uint64_t i = worker; i < size; i += threads) {
          batch[i] = MakeViewer(settings, makers, first + i, now);
        }
      });
    }
    for (std::thread& worker : workers) worker.join();
    for (const auto& viewer : batch) {
      RETURN_IF_ERROR(viewer.status());
      RETURN_IF_ERROR(writer.Add(*viewer));
    }
    progress(first + size);
  }
  return writer.Finish();
}

}  // namespace nark::load
