// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "child.h"
#include "fixture.h"
#include "interop_service.h"
#include "support/process.h"

namespace nearcall::interop {

// Sizes of payloads that all of gRPC's implementations use.
inline constexpr int32_t kRequestSizes[] = {27182, 8, 1828, 45904};
inline constexpr int32_t kReplySizes[] = {31415, 9, 2653, 58979};
inline constexpr int32_t kSumOfRequestSizes = 74922;
inline constexpr int32_t kLargeRequestSize = 271828;
inline constexpr int32_t kLargeReplySize = 314159;

pb::Payload Zeros(int32_t size);
pb::SimpleRequest LargeRequest();
pb::StreamingInputCallRequest Input(int32_t size);
// Asks for one reply, or for none.
pb::StreamingOutputCallRequest Output(int32_t request_size);
pb::StreamingOutputCallRequest Output(int32_t request_size, int32_t reply_size);

// OK, and as many zeros as LargeRequest() asks for.
void ExpectLargeReply(const absl::StatusOr<pb::SimpleResponse>& reply);
void ExpectSize(const pb::StreamingOutputCallResponse& reply, int32_t size);

// What each test program says of itself: its style ("blocking"), its service, which calls itself `id`, and the program
// that serves it.
absl::string_view Style();
std::string Program();
std::unique_ptr<Service> MakeService(std::string id);

// Where the server of this run is ($NEARCALL_TEST_SERVER): in a process of its own, in this one ("in-process"), in one
// that each channel starts for itself ("exec"), one of two that share a name, in another process ("shared"), or beyond
// gRPC ("proxy").
enum class Where { kOtherProcess, kInProcess, kExec, kShared, kProxy };
Where WhereIsTheServer();
inline bool InProcess() {
  return WhereIsTheServer() == Where::kInProcess;
}

// Serves what MakeService() makes, with its process id for a server's: in another process over the transport under
// test, or in this one. (Where channels start servers, it is the program INTEROP_SERVER that does.) To be made while
// this process has no other threads.
class ServerUnderTest {
 public:
  ServerUnderTest();

  void Start();

  // For a server in this process.
  std::shared_ptr<Channel> InProcessChannel(ChannelOptions options);

  // As SIGTERM ends it; 0: all was well. May be repeated.
  int End();

  // Of its process's memory, in bytes; where there is no such process, of this one's.
  int64_t ResidentSize() const;

 private:
  static void Serve(integration::Link& parent);

  std::optional<integration::Child> child_;
  std::optional<int> code_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Server> server_;
};

// Two proxies ($NEARCALL_PROXY): calls of the one's name go to the other's gRPC port, and from there to the server
// under test.
class Proxies {
 public:
  Proxies();

  static std::string Address() { return integration::Address("beyond"); }

  // As SIGTERM ends them; 0: all was well with both.
  int End();

 private:
  testing::Process port_;
  testing::Process name_;
};

// Each test is a case of gRPC's, called as it is there.
class Interop : public integration::IntegrationTest {
 protected:
  Interop() {
    server.Start();
    if (WhereIsTheServer() == Where::kProxy) proxies_.emplace();
  }

  // The server ends well whatever was done to its calls. Says which case has passed.
  void TearDown() override;

  std::shared_ptr<Channel> Connect(ChannelOptions options = {}) {
    switch (WhereIsTheServer()) {
      case Where::kInProcess:
        return server.InProcessChannel(std::move(options));
      case Where::kExec:
        options.exec.argv = {Program(), "inherited:"};
        return IntegrationTest::Connect(std::move(options), absl::StrCat("exec:", Program()));
      case Where::kProxy:
        return IntegrationTest::Connect(std::move(options), Proxies::Address());
      case Where::kOtherProcess:
      case Where::kShared:
        break;
    }
    return IntegrationTest::Connect(std::move(options));
  }
  pb::TestService::Stub Stub(ChannelOptions options = {}) { return pb::TestService::Stub(Connect(std::move(options))); }

  ServerUnderTest server;

 private:
  std::optional<Proxies> proxies_;
};

}  // namespace nearcall::interop
