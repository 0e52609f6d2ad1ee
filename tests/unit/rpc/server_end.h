// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "nearcall/exec_state.h"
#include "nearcall/metadata.h"
#include "rpc/server/incoming_call.h"
#include "rpc/server/server_core.h"
#include "session/server_session.h"
#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"
#include "wire/envelope.h"

namespace nearcall::rpc::testing {

// A request as a client may send it.
struct ClientRequest {
  uint64_t call_id = 1;
  uint64_t method_id = 0;
  Priority priority = Priority::kNormal;
  std::string payload = {};
  uint64_t time_left_ns = 0;
  Metadata metadata = {};
  std::optional<std::string> raw_envelope = {};  // in place of `metadata`
  bool one_way = false;
  internal::MethodKind kind = internal::MethodKind::kUnary;
};

// A reply as a client sees it.
struct Answer {
  wire::FrameHeader header;
  wire::ReplyEnvelope envelope;  // its status has the header's code
  std::string payload;

  absl::StatusCode code() const { return envelope.status.code(); }
  absl::string_view text() const { return envelope.status.message(); }
  ExecState exec_state() const { return envelope.exec_state; }
  std::string value() const {
    Bytes bytes;
    return bytes.ParseFromString(payload) ? bytes.value() : "(does not parse)";
  }
};

// A place is there whenever one is wanted; turns wait for the test to run them.
class PlacesForAll final : public Places {
 public:
  bool TakeAgain(const rpc::Request& /*request*/, HandlerPlace& /*place*/) override { return true; }
  void Queue(Turn& turn) override {
    base::MutexLock lock(mutex_);
    turns_.PushBack(turn);
  }

  // The next one, or nullptr.
  Turn* NextTurn() {
    base::MutexLock lock(mutex_);
    return turns_.PopFront();
  }

 private:
  base::Mutex mutex_;
  base::List<Turn, InLane> turns_ ABSL_GUARDED_BY(mutex_);
};

// One connection of a server, without poller and threads: the test reads the requests and runs the calls.
class ServerEnd {
 public:
  explicit ServerEnd(ServerCore& core,
                     const session::testing::LinkOptions& options = {.max_frame_size = 256, .capacity_frames = 8},
                     uid_t user = session::testing::kUser)
      : core_(core) {
    session::testing::Link link = session::testing::MakeLink(options);
    link.server.peer.uid = user;
    session_ = *session::ServerSession::Start(
        std::move(link.server),
        {.max_message_size = core.options.max_message_size, .max_calls = core.options.max_queued_calls}, core.logger,
        {}, core.quota->AccountOf(user));
    client_.emplace(std::move(link.client));
  }

  session::ServerSession& session() { return *session_; }
  PlacesForAll& places() { return places_; }
  session::testing::ScriptedPeer& client() { return *client_; }

  void Send(const ClientRequest& request) {
    const std::string envelope =
        request.raw_envelope ? *request.raw_envelope : *wire::EncodeMetadataEnvelope(request.metadata);
    wire::FrameHeader header =
        session::testing::Header(wire::FrameKind::kRequest, request.call_id, static_cast<size_t>(request.priority));
    if (!internal::ClientStreams(request.kind)) header.flags |= wire::kEnd;
    if (internal::ServerStreams(request.kind)) header.flags |= wire::kElements;
    if (request.one_way) header.flags |= wire::kOneWay;
    header.method_id = request.method_id;
    header.time_left_ns = request.time_left_ns;
    header.envelope_size = static_cast<uint32_t>(envelope.size());
    if (!envelope.empty()) header.flags |= wire::kEnvelope;
    client_->SendSome(header, envelope + request.payload);
  }

  // Reads what has been sent, as if at `now`.
  std::unique_ptr<IncomingCall> Read(base::SteadyNs now = base::NowNs()) {
    auto call = std::make_unique<IncomingCall>(core_, places_);
    return ReadInto(*call, now) ? std::move(call) : nullptr;
  }

  bool ReadInto(IncomingCall& call, base::SteadyNs now = base::NowNs()) {
    for (;;) {
      const session::Inbox::Event event = session_->Next(call.request().message);
      session_->transport().Release();
      session::testing::PumpAll(client_->outbox());
      if (event == session::Inbox::Event::kMessage) break;
      if (event == session::Inbox::Event::kProgress) continue;
      ADD_FAILURE() << "no request: event " << static_cast<int>(event) << ", " << session_->DebugString();
      return false;
    }
    return call.Accept(session_, now);
  }

  std::unique_ptr<IncomingCall> SendAndRead(const ClientRequest& request, base::SteadyNs now = base::NowNs()) {
    Send(request);
    return Read(now);
  }

  // The next reply; nothing if there is none.
  std::optional<Answer> TakeAnswer() {
    std::optional<session::testing::Received> received;
    do {
      received = client_->Receive(base::NowNs());
    } while (!received && session_->outbox().Pump());
    if (!received) return std::nullopt;
    const size_t size = received->header.envelope_size;
    auto envelope = wire::DecodeReplyEnvelope(static_cast<absl::StatusCode>(received->header.status),
                                              session::testing::AsBytes(received->payload).first(size));
    EXPECT_TRUE(envelope.ok()) << envelope.status();
    if (!envelope.ok()) return std::nullopt;
    return Answer{received->header, *std::move(envelope), received->payload.substr(size)};
  }

 private:
  ServerCore& core_;
  PlacesForAll places_;
  std::shared_ptr<session::ServerSession> session_;
  std::optional<session::testing::ScriptedPeer> client_;
};

}  // namespace nearcall::rpc::testing
