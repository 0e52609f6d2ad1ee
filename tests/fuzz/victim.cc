// SPDX-License-Identifier: Apache-2.0
#include "fuzz/victim.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <mutex>
#include <stop_token>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"

namespace nearcall::fuzz {

namespace {

using rpc::testing::Bytes;

constexpr absl::Duration kLong = absl::Seconds(10);  // only what has been lost takes so long

size_t Descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

std::string AddressIn(const std::string& directory, const transport::TransportRow& row) {
  return absl::StrCat(row.name, ":", directory, "/victim");
}

}  // namespace

Victim::Victim() {
  service_.SetMayBlock(1);
  for (size_t i = 0; i < kMethods; ++i) service_.SetDescriptors(i, 4);
  service_.handler = [this](ServerContext& context, const Bytes& request, Bytes& reply) {
    ++running_;
    absl::Status status = Handle(context, request, reply);
    --running_;
    return status;
  };
  char directory[] = "/tmp/nearcall-victim-XXXXXX";
  NEARCALL_CHECK(::mkdtemp(directory) != nullptr);
  directory_ = directory;
  // Small enough for a script to reach each of them.
  ServerBuilder builder({.max_message_size = 1 << 20,
                         .max_queued_calls = 8,
                         .max_handler_threads = 4,
                         .max_spin = absl::ZeroDuration(),
                         .log_sink = [](LogSeverity, absl::string_view) {},
                         .max_total_descriptors = 48,
                         .stream_window_bytes = kWindow,
                         .max_stream_bytes = 6 * kWindow,
                         .max_waiting_handlers = 8,
                         .max_descriptors_per_message = 6});
  for (const transport::TransportRow& row : transport::Transports()) {
    if (!row.MeetsAtSocket()) builder.Listen(AddressIn(directory_, row));
  }
  server_ = *builder.Register(&service_).Register(&streams_).Start();
  bystander_ = *Channel::Connect(absl::StrCat("fd:", Connect()), {.max_spin = absl::ZeroDuration()});
  CheckBystander();
}

Victim::~Victim() {
  bystander_.reset();
  server_->Shutdown();
  server_->Wait();
  ::rmdir(directory_.c_str());
}

absl::Status Victim::Handle(ServerContext& context, const Bytes& request, Bytes& reply) {
  if (absl::StartsWith(request.value(), "w")) {
    std::mutex mutex;
    std::condition_variable_any cancelled;
    std::unique_lock lock(mutex);
    cancelled.wait(lock, context.stop_token(), [] { return false; });
    return absl::CancelledError();
  }
  if (absl::StartsWith(request.value(), "d")) context.reply_descriptors() = context.TakeDescriptors();
  reply.set_value(absl::StartsWith(request.value(), "g") ? std::string(kGrown, 'g') : request.value());
  return absl::OkStatus();
}

int Victim::Connect() {
  server_end_.Reset();
  descriptors_ = Descriptors();
  int sockets[2];
  NEARCALL_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) == 0);
  server_end_ = base::Duplicate(sockets[0]);
  NEARCALL_CHECK(server_->ServeFd(sockets[0]).ok());
  return sockets[1];
}

std::string Victim::AddressOf(const transport::TransportRow& row) {
  server_end_.Reset();
  descriptors_ = Descriptors();
  return AddressIn(directory_, row);
}

void Victim::PermitDescriptors() {
  const int on = 1;
  ::setsockopt(server_end_.get(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &on, sizeof(on));
}

void Victim::CheckBystander() {
  Bytes reply;
  const absl::Status status = bystander_->BlockingCall(service_.method(0), rpc::testing::MakeBytes("hello"), reply,
                                                       {.timeout = kLong, .priority = Priority::kUrgent});
  if (status.ok() && reply.value() == "hello") return;
  std::cerr << "the bystander was not served: " << status << '\n' << server_->DebugString();
  std::abort();
}

bool Victim::AllGone() const {
  const std::string state = server_->DebugString();
  // With one thread only the next handler that blocks would block the server. Fewer descriptors than before: something
  // of the client before that one was still being closed when they were counted.
  return running_ == 0 && streams_.running() == 0 && absl::StrContains(state, "calls active: 0") &&
         absl::StrContains(state, ": 0 calls, 0 B, 0 handlers,") && !absl::StrContains(state, ", 1 threads") &&
         Descriptors() <= descriptors_;
}

void Victim::CheckNothingLeft() {
  server_end_.Reset();
  const absl::Time until = absl::Now() + kLong;
  while (!AllGone()) {
    if (absl::Now() >= until) {
      std::cerr << "left behind by the client: " << running_ + streams_.running() << " handlers, " << Descriptors()
                << " descriptors of " << descriptors_ << '\n'
                << server_->DebugString();
      std::abort();
    }
    std::this_thread::yield();
  }
}

}  // namespace nearcall::fuzz
