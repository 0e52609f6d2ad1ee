// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "unit/rpc/fake_service.h"
#include "unit/rpc/server_end.h"
#include "unit/session/client.h"

namespace nearcall::rpc {

inline constexpr uint64_t kMsNs = 1'000'000;
inline constexpr size_t kServerLimit = 1000;
inline constexpr uint32_t kClientLimit = 500;

class ServerCallTest : public ::testing::Test {
 protected:
  ServerCallTest() { EXPECT_TRUE(core_.services.Add(&service_).ok()); }
  ~ServerCallTest() override { EXPECT_EQ(core_.active_calls, 0u); }

  testing::ClientRequest MakeRequest(const std::string& value = "hi") {
    return {.method_id = service_.method().id, .payload = testing::MakeBytes(value).SerializeAsString()};
  }

  // Reads, runs and answers `request`, as if it had been read at `read_at`.
  std::optional<testing::Answer> Run(const testing::ClientRequest& request, base::SteadyNs read_at = base::NowNs()) {
    const auto call = end_.SendAndRead(request, read_at);
    if (call == nullptr) return std::nullopt;
    call->Run();
    auto answer = end_.TakeAnswer();
    call->Reset();
    return answer;
  }

  testing::ClientRequest MakeOneWay(uint64_t call_id = 1) {
    testing::ClientRequest request = MakeRequest();
    request.one_way = true;
    request.call_id = call_id;
    return request;
  }

  // `handler` notes something about its context; the call succeeds.
  template <typename Note>
  void OnCall(Note&& note) {
    service_.handler = [note](ServerContext& context, const testing::Bytes&, testing::Bytes&) {
      note(context);
      return absl::OkStatus();
    };
  }

  void ExpectThatTheHandlerDoesNotRun() {
    OnCall([](ServerContext&) { ADD_FAILURE() << "the handler ran"; });
  }

  session::testing::LogLines log_;
  testing::FakeService service_{"test.Service", {"test.Service/Do"}};
  ServerCore core_{{.max_message_size = kServerLimit, .max_priority = Priority::kHigh, .log_sink = log_.Sink()}, 1};
  testing::ServerEnd end_{core_, {.max_frame_size = 256, .capacity_frames = 8, .max_message_size = kClientLimit}};
};

}  // namespace nearcall::rpc
