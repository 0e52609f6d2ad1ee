// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/fifo_handshake.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "transport/fifo/fifo_control.h"
#include "transport/fifo/fifo_transport.h"
#include "transport/fifo/hello_record.h"
#include "transport/fifo/line.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/hello.h"

namespace nearcall::transport::fifo {

namespace {

class Handshake final : public ServerHandshake {
 public:
  Handshake(Fifos pair, ServeParams params)
      : pair_(std::move(pair)), fd_(pair_.incoming.get()), params_(std::move(params)) {
    connection_.peer = {.pid = 0, .uid = ::geteuid(), .gid = static_cast<gid_t>(-1)};
  }

  int fd() const override { return fd_; }

  Progress Step() override {
    while (state_ == State::kAwaitHello || state_ == State::kAwaitAck) {
      const auto message = reader_.Next(pair_.incoming);
      if (message.ok() && !message->has_value()) return Progress::kWaiting;
      absl::Status result = message.ok() ? OnMessage(**message) : message.status();
      if (!result.ok()) Fail(std::move(result));
    }
    return state_ == State::kDone ? Progress::kDone : Progress::kFailed;
  }

  uid_t peer_uid() const override { return connection_.peer.uid; }
  pid_t peer_pid() const override { return 0; }
  bool is_successor() const override { return false; }
  absl::Status error() const override { return error_; }

  Connection Take() override {
    NEARCALL_CHECK(state_ == State::kDone);
    return std::move(connection_);
  }

 private:
  enum class State { kAwaitHello, kAwaitAck, kDone, kFailed };

  void Fail(absl::Status error) {
    error_ = std::move(error);
    state_ = State::kFailed;
  }

  absl::Status OnMessage(const std::vector<std::byte>& bytes) {
    return state_ == State::kAwaitHello ? OnHello(bytes) : OnAck(bytes);
  }

  absl::Status OnHello(const std::vector<std::byte>& bytes) {
    const absl::StatusOr<ClientHello> hello = DecodeClientHello(bytes);
    if (absl::IsFailedPrecondition(hello.status())) return Refuse(hello.status());
    if (!hello.ok()) return hello.status();
    const TransportRow& row = *FindTransport("fifo");
    if ((hello->transports & uint32_t{1} << row.bit) == 0) {
      return Refuse(absl::FailedPreconditionError("a FIFO carries its own transport, which was not asked for"));
    }
    if (!IsTrusted(connection_.peer.uid, params_.allowed_uids)) {
      return Refuse(absl::PermissionDeniedError(
          absl::StrCat("over fifo: a server has clients of its own user only, uid ", connection_.peer.uid,
                       ", which ServerOptions::allowed_uids does not list")));
    }
    connection_.peer_terms = hello->terms;
    if (params_.admit) {
      absl::Status admitted = params_.admit(connection_.peer);
      if (absl::IsCancelled(admitted)) return admitted;
      if (!admitted.ok()) return Refuse(std::move(admitted));
    }
    return Answer(row);
  }

  absl::Status Answer(const TransportRow& row) {
    absl::Status sent =
        WriteHello(pair_.outgoing,
                   Encode(ServerHello{.features = params_.wants_method_names ? uint64_t{kMethodNames} : uint64_t{0},
                                      .transport_bit = row.bit,
                                      .terms = params_.terms,
                                      .server_id = params_.server_id,
                                      .connection_id = params_.connection_id}));
    if (sent.ok()) state_ = State::kAwaitAck;
    return sent;
  }

  // Tells the client why; that it may not hear it changes nothing.
  absl::Status Refuse(absl::Status why) {
    WriteHello(pair_.outgoing, Encode(ServerHello{.status = why})).IgnoreError();
    return why;
  }

  absl::Status OnAck(const std::vector<std::byte>& bytes) {
    const absl::StatusOr<absl::StatusCode> code = DecodeAck(bytes);
    if (!code.ok()) return code.status();
    if (*code != absl::StatusCode::kOk) return absl::Status(*code, "the client could not go on");
    absl::StatusOr<std::shared_ptr<Line>> line = Line::Create(std::move(pair_));
    if (!line.ok()) return line.status();
    connection_.in_band = std::make_unique<FifoControl>(*line);
    connection_.transport = std::make_unique<FifoTransport>(*std::move(line), nullptr);
    connection_.local_id = params_.server_id;
    connection_.peer_id = params_.connection_id;
    state_ = State::kDone;
    return absl::OkStatus();
  }

  Fifos pair_;  // until the connection has it
  const int fd_;
  ServeParams params_;
  State state_ = State::kAwaitHello;
  absl::Status error_;
  HelloReader reader_;
  Connection connection_;
};

}  // namespace

std::unique_ptr<ServerHandshake> StartHandshake(Fifos pair, ServeParams params) {
  return std::make_unique<Handshake>(std::move(pair), std::move(params));
}

}  // namespace nearcall::transport::fifo
