// Every system library compiles in this project's dialect, links, and agrees with
// its headers about its types: each test passes an object through compiled code.

#include <benchmark/benchmark.h>
#include <gmock/gmock.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/util/time_util.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <kissfft/kiss_fftr.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <postgresql/libpq-fe.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sndfile.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sqlite3.h>
#include <toml++/toml.h>
#include <tss2/tss2_rc.h>

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace {

absl::StatusOr<std::string> Refuse(absl::string_view reason) {
  return absl::PermissionDeniedError(absl::StrFormat("%s refused", reason));
}

TEST(ThirdPartyTest, AbslStatusCrossesTheLibrary) {
  const auto refused = Refuse("everything");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(refused.status().ToString(), "PERMISSION_DENIED: everything refused");

  absl::flat_hash_map<std::string, int> counts;
  for (int i = 0; i < 1000; ++i) ++counts[absl::StrCat("key", i % 10)];
  EXPECT_EQ(counts.at("key3"), 100);
  absl::btree_map<int, absl::Cord> cords;
  cords[1].Append("cord");
  EXPECT_EQ(cords[1], "cord");
  absl::BitGen random;
  EXPECT_LT(absl::Uniform(random, 0, 10), 10);
}

TEST(ThirdPartyTest, AbslSynchronizesThreads) {
  absl::Notification done;
  std::jthread worker([&] { done.Notify(); });
  EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST(ThirdPartyTest, ProtobufSerialises) {
  auto duration = google::protobuf::util::TimeUtil::MillisecondsToDuration(1500);
  google::protobuf::Duration parsed;
  ASSERT_TRUE(parsed.ParseFromString(duration.SerializeAsString()));
  EXPECT_EQ(parsed.nanos(), 500'000'000);
}

// grpc.health.v1.HealthCheckResponse{status: SERVING}, and the empty request.
constexpr absl::string_view kServing("\x08\x01", 2);

TEST(ThirdPartyTest, GrpcAnswersAHealthCall) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);

  const auto channel =
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const grpc::Slice no_fields("");
  const grpc::ByteBuffer request(&no_fields, 1);
  const auto call =
      stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_TRUE(status.ok()) << status.error_message();
  grpc::Slice slice;
  ASSERT_TRUE(response.DumpToSingleSlice(&slice).ok());
  EXPECT_EQ(absl::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size()),
            kServing);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  server->Shutdown();
}

TEST(ThirdPartyTest, OpenSslHashes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  ASSERT_EQ(EVP_Digest("abc", 3, digest.data(), &size, EVP_sha256(), nullptr), 1);
  EXPECT_EQ(size, 32u);
  EXPECT_EQ(digest[0], 0xba);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls(SSL_CTX_new(TLS_method()),
                                                              &SSL_CTX_free);
  EXPECT_NE(tls, nullptr);
}

TEST(ThirdPartyTest, SpdlogFormats) {
  std::ostringstream out;
  spdlog::logger logger("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger.set_pattern("%l %v");
  logger.warn("{} of {}", 1, "two");
  EXPECT_EQ(out.str(), "warning 1 of two\n");
}

TEST(ThirdPartyTest, Cli11Parses) {
  CLI::App app;
  int count = 0;
  app.add_option("--count", count);
  app.parse("--count 3");
  EXPECT_EQ(count, 3);
}

TEST(ThirdPartyTest, TomlParses) {
  const toml::table table = toml::parse("[sender]\nfec = 20\n", std::string_view("test.toml"));
  EXPECT_EQ(table.at_path("sender.fec").value<int>(), 20);
}

TEST(ThirdPartyTest, JsonRoundTrips) {
  const auto json = nlohmann::json::parse(R"({"bought": 10})");
  EXPECT_EQ(json.at("bought").get<int>(), 10);
  EXPECT_EQ(json.dump(), R"({"bought":10})");
}

TEST(ThirdPartyTest, PrometheusServesItsCountersOverHttp) {
  prometheus::Registry registry;
  auto& family = prometheus::BuildCounter().Name("dropped_total").Help("h").Register(registry);
  family.Add({{"reason", "late"}}).Increment(2);

  httplib::Server server;
  server.Get("/metrics", [&](const httplib::Request&, httplib::Response& response) {
    response.set_content(prometheus::TextSerializer().Serialize(registry.Collect()), "text/plain");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread listener([&] { server.listen_after_bind(); });
  httplib::Client client("127.0.0.1", port);
  const auto result = client.Get("/metrics");
  EXPECT_TRUE(result);
  if (result) {
    EXPECT_THAT(result->body, testing::HasSubstr("dropped_total{reason=\"late\"} 2"));
  }
  server.stop();
  listener.join();
}

TEST(ThirdPartyTest, SqliteIsTheHeadersOwnAndThreadSafe) {
  EXPECT_STREQ(sqlite3_libversion(), SQLITE_VERSION);
  EXPECT_NE(sqlite3_threadsafe(), 0);
}

TEST(ThirdPartyTest, LibpqReadsAConnectionString) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse("postgresql://desk@/ledger?host=/tmp", &error);
  ASSERT_NE(options, nullptr) << error;
  PQconninfoFree(options);
  EXPECT_NE(PQisthreadsafe(), 0);
}

TEST(ThirdPartyTest, Tss2NamesItsErrors) {
  EXPECT_NE(std::string(Tss2_RC_Decode(0x101)).find("TPM failure"), std::string::npos)
      << Tss2_RC_Decode(0x101);
}

TEST(ThirdPartyTest, BenchmarkKeepsItsValue) {
  int value = 7;
  benchmark::DoNotOptimize(value);
  EXPECT_FALSE(benchmark::ReportUnrecognizedArguments(0, nullptr));
}

TEST(ThirdPartyTest, KissFftTransformsFloats) {
  const std::vector<float> ones(8, 1.0f);
  std::vector<kiss_fft_cpx> spectrum(5);
  const kiss_fftr_cfg plan = kiss_fftr_alloc(8, 0, nullptr, nullptr);
  kiss_fftr(plan, ones.data(), spectrum.data());
  kiss_fftr_free(plan);
  EXPECT_EQ(spectrum[0].r, 8);
  EXPECT_EQ(spectrum[1].r, 0);
}

TEST(ThirdPartyTest, SndfileKnowsItsFormats) {
  SF_INFO info{};
  info.samplerate = 44100;
  info.channels = 2;
  info.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  EXPECT_EQ(sf_format_check(&info), 1);
}

}  // namespace
