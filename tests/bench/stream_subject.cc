// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <latch>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "bench/nearcall_subject.h"
#include "bench/payload.h"
#include "bench/worker.h"
#include "echo.nearcall.pb.h"

namespace nearcall::bench {

namespace {

using ::bench::Data;
using ::bench::Echo;

void ExpectMore(bool more) {
  if (!more) Die("a stream has ended too early");
}

Data MakeRequest(size_t size, uint32_t count = 0) {
  Data request;
  request.set_payload(MakePayload(size));
  request.set_count(count);
  return request;
}

// A call is an element to the server and one back, in a stream that stays open.
class ChatSubject final : public Subject {
 public:
  explicit ChatSubject(std::shared_ptr<Channel> channel) : chat_(Echo::Stub(std::move(channel)).Chat()) {}

  void SetSize(size_t size) override { element_ = MakeRequest(size); }
  void Call() override {
    Stamp(*element_.mutable_payload());
    ExpectMore(chat_->Write(element_) && chat_->Read(&reply_));
  }
  void Check() override { ExpectEcho("chat", element_.payload(), reply_.payload()); }

 private:
  const std::unique_ptr<ClientReaderWriter<Data, Data>> chat_;
  Data element_;
  Data reply_;
};

// A call is a stream of many elements from the server.
class DownSubject final : public Subject {
 public:
  explicit DownSubject(std::shared_ptr<Channel> channel) : stub_(std::move(channel)) {}

  int trips_per_call() const override { return kElements; }
  void SetSize(size_t size) override { request_ = MakeRequest(size, kElements); }
  void Call() override {
    const auto down = stub_.Down(request_);
    for (int i = 0; i < kElements; ++i) ExpectMore(down->Read(&reply_));
    ExpectOk(down->Finish());
  }
  void Check() override { ExpectEcho("down", request_.payload(), reply_.payload()); }

 private:
  const Echo::Stub stub_;
  Data request_ = MakeRequest(0, kElements);
  Data reply_;
};

// The same by coroutines, and unary calls. What a coroutine does is measured within it, on the channel's thread.
class CoSubject : public Subject {
 public:
  explicit CoSubject(std::shared_ptr<Channel> channel) : stub_(std::move(channel)) {}

  void SetSize(size_t size) override { request_ = MakeRequest(size, kElements); }
  void Call() override { SyncWait(Run()); }
  void Check() override { ExpectEcho("a coroutine", request_.payload(), reply_.payload()); }

 protected:
  virtual Task<void> Run() = 0;

  const Echo::CoStub stub_;
  Data request_ = MakeRequest(0, kElements);
  Data reply_;
};

class CoTrips : public CoSubject {
 public:
  using CoSubject::CoSubject;

  std::span<const int64_t> trips_ns() const override { return trips_ns_; }

 protected:
  static constexpr int kTrips = 1000;

  void BeginTrip() { began_ns_ = base::NowNs(); }
  void EndTrip() { trips_ns_.push_back(base::NowNs() - began_ns_); }
  void BeginTrips() { trips_ns_.clear(); }

 private:
  int64_t began_ns_ = 0;
  std::vector<int64_t> trips_ns_;
};

class CoUnary final : public CoTrips {
 public:
  using CoTrips::CoTrips;

 private:
  Task<void> Run() override {
    BeginTrips();
    for (int i = 0; i < kTrips; ++i) {
      BeginTrip();
      absl::StatusOr<Data> reply = co_await stub_.Say(request_);
      EndTrip();
      ExpectOk(reply.status());
      reply_ = *std::move(reply);
    }
  }
};

class CoChat final : public CoTrips {
 public:
  using CoTrips::CoTrips;

 private:
  Task<void> Run() override {
    BeginTrips();
    auto chat = stub_.Chat();
    for (int i = 0; i < kTrips; ++i) {
      BeginTrip();
      ExpectMore(co_await chat.Write(request_));
      ExpectMore(co_await chat.Read(&reply_));
      EndTrip();
    }
    ExpectOk(co_await chat.Finish());
  }
};

class CoDown final : public CoSubject {
 public:
  using CoSubject::CoSubject;

  int trips_per_call() const override { return kElements; }

 private:
  Task<void> Run() override {
    auto down = stub_.Down(request_);
    for (int i = 0; i < kElements; ++i) ExpectMore(co_await down.Read(&reply_));
    ExpectOk(co_await down.Finish());
  }
};

// A call is so many calls at once as the payload would have bytes, of a handler that sleeps.
class DozeSubject final : public Subject {
 public:
  DozeSubject(std::shared_ptr<Channel> channel, bool blocking)
      : blocking_(blocking), stub_(channel), async_(std::move(channel)) {}

  void SetSize(size_t calls) override { calls_ = calls; }
  void Call() override { blocking_ ? CallBlocking() : CallAsync(); }

 private:
  void CallBlocking() {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < calls_; ++i) threads.emplace_back([this] { ExpectOk(stub_.Doze({}).status()); });
    for (std::thread& thread : threads) thread.join();
  }

  void CallAsync() {
    std::latch left(static_cast<std::ptrdiff_t>(calls_));
    for (size_t i = 0; i < calls_; ++i) {
      async_.Doze({}, [&left](const absl::StatusOr<Data>& reply) {
        ExpectOk(reply.status());
        left.count_down();
      });
    }
    left.wait();
  }

  const bool blocking_;
  const Echo::Stub stub_;
  const Echo::AsyncStub async_;
  size_t calls_ = 0;
};

}  // namespace

std::unique_ptr<Subject> MakeStream(const SubjectParams& params) {
  std::shared_ptr<Channel> channel = ConnectTo(params);
  if (params.subject == "chat") return std::make_unique<ChatSubject>(std::move(channel));
  if (params.subject == "down") return std::make_unique<DownSubject>(std::move(channel));
  if (params.subject == "coroutine") return std::make_unique<CoUnary>(std::move(channel));
  if (params.subject == "coroutine chat") return std::make_unique<CoChat>(std::move(channel));
  return std::make_unique<CoDown>(std::move(channel));
}

std::unique_ptr<Subject> MakeDoze(const SubjectParams& params) {
  return std::make_unique<DozeSubject>(ConnectTo(params), params.subject == "doze");
}

}  // namespace nearcall::bench
