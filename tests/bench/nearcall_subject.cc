// SPDX-License-Identifier: Apache-2.0
#include "bench/nearcall_subject.h"

#include <unistd.h>

#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/payload.h"
#include "bench/worker.h"
#include "echo.nearcall.pb.h"

namespace nearcall::bench {

namespace {

constexpr absl::Duration kDoze = absl::Milliseconds(100);

class EchoService final : public ::bench::Echo::Service {
  absl::Status Say(ServerContext&, const ::bench::Data& request, ::bench::Data& reply) override {
    reply.set_payload(request.payload());
    return absl::OkStatus();
  }
  absl::Status Put(ServerContext&, const ::bench::Data&, ::bench::Data&) override { return absl::OkStatus(); }

  absl::Status Stall(ServerContext&, const ::bench::Data&, ::bench::Data&) override {
    std::cout << "stalled" << std::endl;
    for (;;) ::pause();
  }

  absl::Status Doze(ServerContext&, const ::bench::Data&, ::bench::Data&) override {
    absl::SleepFor(kDoze);
    return absl::OkStatus();
  }

  absl::Status Down(ServerContext&, const ::bench::Data& request, ServerWriter<::bench::Data>& writer) override {
    ::bench::Data element;
    element.set_payload(request.payload());
    for (uint32_t i = 0; i < request.count() && writer.Write(element); ++i) continue;
    return absl::OkStatus();
  }

  absl::Status Chat(ServerContext&, ServerReaderWriter<::bench::Data, ::bench::Data>& stream) override {
    ::bench::Data element;
    while (stream.Read(&element) && stream.Write(element)) continue;
    return absl::OkStatus();
  }
};

// The same streams, by coroutines.
class CoEchoService final : public ::bench::Echo::CoService {
  Task<absl::Status> Say(ServerContext&, const ::bench::Data& request, ::bench::Data& reply) override {
    reply.set_payload(request.payload());
    co_return absl::OkStatus();
  }

  Task<absl::Status> Down(ServerContext&, const ::bench::Data& request,
                          CoServerWriter<::bench::Data>& writer) override {
    ::bench::Data element;
    element.set_payload(request.payload());
    for (uint32_t i = 0; i < request.count(); ++i) {
      if (!co_await writer.Write(element)) break;
    }
    co_return absl::OkStatus();
  }

  Task<absl::Status> Chat(ServerContext&, CoServerReaderWriter<::bench::Data, ::bench::Data>& stream) override {
    ::bench::Data element;
    while (co_await stream.Read(&element)) {
      if (!co_await stream.Write(element)) break;
    }
    co_return absl::OkStatus();
  }
};

class AsyncNearcall final : public AsyncSubject {
 public:
  AsyncNearcall(std::shared_ptr<Channel> channel, size_t slots, size_t size, OnAnswer on_answer)
      : stub_(std::move(channel)), requests_(slots), on_answer_(std::move(on_answer)) {
    for (::bench::Data& request : requests_) request.set_payload(MakePayload(size));
  }

  void Start(size_t slot) override {
    Stamp(*requests_[slot].mutable_payload());
    stub_.Say(requests_[slot], [this, slot](const absl::StatusOr<::bench::Data>& reply) {
      ExpectOk(reply.status());
      ExpectEcho("nearcall", requests_[slot].payload(), reply->payload());
      on_answer_(slot);
    });
  }

 private:
  const ::bench::Echo::AsyncStub stub_;
  std::vector<::bench::Data> requests_;
  const OnAnswer on_answer_;
};

class NearcallSubject final : public Subject {
 public:
  explicit NearcallSubject(std::shared_ptr<Channel> channel) : channel_(std::move(channel)), stub_(channel_) {}

  void SetSize(size_t size) override { request_.set_payload(MakePayload(size)); }
  std::unique_ptr<Subject> Share() override { return std::make_unique<NearcallSubject>(channel_); }

  std::unique_ptr<AsyncSubject> MakeAsync(size_t slots, size_t size, AsyncSubject::OnAnswer on_answer) override {
    return std::make_unique<AsyncNearcall>(channel_, slots, size, std::move(on_answer));
  }

  void Call() override {
    Stamp(*request_.mutable_payload());
    ExpectOk(stub_.Say(request_, &reply_));
  }
  void Check() override { ExpectEcho("nearcall", request_.payload(), reply_.payload()); }

 private:
  std::shared_ptr<Channel> channel_;
  ::bench::Echo::Stub stub_;
  ::bench::Data request_;
  ::bench::Data reply_;
};

// A new channel for each call, which is gone before the next one.
class ConnectSubject final : public Subject {
 public:
  explicit ConnectSubject(SubjectParams params) : params_(std::move(params)) {}

  void SetSize(size_t size) override { size_ = size; }
  void Call() override { TimeCallNs(); }

  int64_t TimeCallNs() override {
    const int64_t before = base::NowNs();
    NearcallSubject subject(ConnectTo(params_));
    subject.SetSize(size_);
    subject.Call();
    const int64_t took = base::NowNs() - before;
    subject.Check();
    return took;
  }

 private:
  const SubjectParams params_;
  size_t size_ = 0;
};

class Crowd final : public Subject {
 public:
  explicit Crowd(const SubjectParams& params) {
    for (int i = 0; i < params.connections; ++i) {
      members_.push_back(std::make_unique<NearcallSubject>(ConnectTo(params)));
      members_.back()->Call();
    }
  }

  void Call() override {}

 private:
  std::vector<std::unique_ptr<Subject>> members_;
};

}  // namespace

void ExpectOk(const absl::Status& status) {
  if (!status.ok()) Die(absl::StrCat("a call failed: ", status.ToString()));
}

Buffer MakeBuffer(BufferPool& pool, size_t size) {
  absl::StatusOr<Buffer> buffer = pool.Allocate(size);
  ExpectOk(buffer.status());
  return *std::move(buffer);
}

std::shared_ptr<Channel> ConnectTo(const SubjectParams& params, EventQueue* queue) {
  auto channel = Channel::Connect(params.address, {.max_message_size = size_t{128} << 20,
                                                   .connect_timeout = absl::Seconds(30),
                                                   .handshake_timeout = absl::Seconds(30),
                                                   .max_spin = absl::Microseconds(params.spin_us),
                                                   .event_queue = queue,
                                                   .trust_sender = true});
  if (!channel.ok()) Die(absl::StrCat("no connection: ", channel.status().ToString()));
  return *std::move(channel);
}

std::unique_ptr<Subject> MakeNearcall(const SubjectParams& params) {
  return std::make_unique<NearcallSubject>(ConnectTo(params));
}

std::unique_ptr<Subject> MakeConnect(const SubjectParams& params) {
  return std::make_unique<ConnectSubject>(params);
}

std::unique_ptr<Subject> MakeCrowd(const SubjectParams& params) {
  return std::make_unique<Crowd>(params);
}

namespace {

void Serve(const SubjectParams& params, Service& service) {
  auto server = ServerBuilder({.max_connections_per_uid = 4096,
                               .handshake_timeout = absl::Seconds(30),
                               .max_spin = absl::Microseconds(params.spin_us)})
                    .Listen(params.address)
                    .Register(&service)
                    .Start();
  if (!server.ok()) Die(absl::StrCat("no server: ", server.status().ToString()));
  ReadyUntilEndOfInput();
}

}  // namespace

void ServeNearcall(const SubjectParams& params) {
  EchoService service;
  Serve(params, service);
}

void ServeCoroutines(const SubjectParams& params) {
  CoEchoService service;
  Serve(params, service);
}

}  // namespace nearcall::bench
