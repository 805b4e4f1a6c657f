#include "refunds/json_service.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/refund_summary.h"

namespace nark::refunds {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kPath = "/v1/refunds";

absl::Status Malformed(std::string_view what) {
  return Refusal(absl::StatusCode::kInvalidArgument, "MALFORMED", what);
}

// Takes the string `note_file` off a parser and builds nothing of what stands beside it:
// a tree takes up to sixty times the bytes that it is written in.
class NoteFileField final : public nlohmann::json_sax<Json> {
 public:
  // Absent where there was none, or no string.
  const std::optional<std::string>& value() const { return value_; }

  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override { return Other(); }
  bool number_unsigned(number_unsigned_t) override { return Other(); }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool binary(binary_t&) override { return Other(); }
  bool string(string_t& text) override {
    if (!wanted_) return true;
    value_ = std::move(text);
    return true;
  }
  bool key(string_t& name) override {
    wanted_ = name == "note_file";
    return true;
  }
  // One object, and nothing nested in it.
  bool start_object(size_t) override { return depth_++ == 0; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return false; }
  bool end_array() override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool Other() {
    if (wanted_) value_.reset();
    return true;
  }
  std::optional<std::string> value_;
  bool wanted_ = false;
  int depth_ = 0;
};

std::string Base64(const v1::SignedEnvelope& envelope) {
  const std::string bytes = Serialise(envelope);
  return absl::Base64Escape(bytes);
}

absl::StatusOr<v1::NoteFile> NoteFileOf(const serve::ApiRequest& request) {
  std::string bytes = request.body;
  if (absl::StartsWithIgnoreCase(request.content_type, "application/json")) {
    NoteFileField field;
    if (!Json::sax_parse(request.body, &field) || !field.value()) {
      return Malformed(R"(write {"note_file":"..."} with the note file in base64)");
    }
    if (!absl::Base64Unescape(*field.value(), &bytes)) {
      return Malformed("note_file is no base64");
    }
  }
  absl::StatusOr<v1::NarkFile> file =
      ParseNarkFile(AsBytes(bytes), "the note file", v1::NarkFile::kNote);
  if (!file.ok()) return Malformed(Std(file.status().message()));
  return std::move(*file->mutable_note());
}

absl::StatusOr<v1::SubmitDeliveryNoteResponse> SubmitAndWait(Desk& desk, const v1::NoteFile& note) {
  absl::Notification answered;
  absl::StatusOr<v1::SubmitDeliveryNoteResponse> response;
  desk.Submit(note, [&](absl::StatusOr<v1::SubmitDeliveryNoteResponse> answer) {
    response = std::move(answer);
    answered.Notify();
  });
  answered.WaitForNotification();
  return response;
}

// The answer's own form: the summary, and what is signed in base64.
absl::StatusOr<Json> ToJson(const v1::SubmitDeliveryNoteResponse& response,
                            RefundSummary& summary) {
  for (const v1::SignedEnvelope& envelope : response.receipts()) {
    ASSIGN_OR_RETURN(auto receipt, PayloadOf<v1::RefundReceipt>(envelope, "a refund receipt"));
    summary.Add(std::move(receipt));
  }
  Json json = summary.ToJson();
  for (int i = 0; i < response.receipts_size(); ++i) {
    json["vouchers"][i]["receipt"] = Base64(response.receipts(i));
  }
  if (!response.first_notes().empty()) json["first_notes"] = Json::array();
  for (const v1::SignedEnvelope& note : response.first_notes()) {
    json["first_notes"].push_back(Base64(note));
  }
  return json;
}

}  // namespace

serve::ApiAnswer JsonService::Handle(const serve::ApiRequest& request) {
  const auto answer = [&]() -> absl::StatusOr<serve::ApiAnswer> {
    if (request.method == "POST" && request.path == kPath) return Submit(request);
    std::string_view path = request.path;
    if (request.method == "GET" && path.starts_with(kPath) && path.size() > kPath.size() &&
        path[kPath.size()] == '/') {
      return Find(path.substr(kPath.size() + 1));
    }
    return Refusal(
        absl::StatusCode::kNotFound, "NO_SUCH_PATH",
        "POST /v1/refunds takes a note file, GET /v1/refunds/VOUCHER_ID gives an answer");
  }();
  if (answer.ok()) return *answer;
  observer_.OnRefusal(answer.status());
  return serve::ErrorAnswer(ForCallers(answer.status()));
}

absl::StatusOr<serve::ApiAnswer> JsonService::Submit(const serve::ApiRequest& request) {
  ASSIGN_OR_RETURN(const v1::NoteFile note, NoteFileOf(request));
  const std::shared_ptr<Desk> desk = desk_();
  ASSIGN_OR_RETURN(const auto response, SubmitAndWait(*desk, note));
  RefundSummary summary;
  ASSIGN_OR_RETURN(const Json json, ToJson(response, summary));
  for (const v1::RefundReceipt& receipt : summary.receipts) observer_.OnReceipt(receipt.status());
  return serve::ApiAnswer{200, json.dump()};
}

absl::StatusOr<serve::ApiAnswer> JsonService::Find(std::string_view voucher) {
  const Bytes id = FromHex(voucher);
  if (id.empty()) return Malformed("a voucher's id has 32 hexadecimal digits");
  const std::shared_ptr<Desk> desk = desk_();
  v1::GetRefundRequest wanted;
  wanted.set_provider(ToText(desk->provider()));
  wanted.set_voucher_id(ToText(id));
  ASSIGN_OR_RETURN(const v1::GetRefundResponse found, desk->Find(wanted));
  v1::SubmitDeliveryNoteResponse response;
  *response.add_receipts() = found.receipt();
  RefundSummary summary;
  ASSIGN_OR_RETURN(Json json, ToJson(response, summary));
  json["note"] = Base64(found.note());
  return serve::ApiAnswer{200, json.dump()};
}

}  // namespace nark::refunds
