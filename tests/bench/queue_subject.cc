// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <memory>

#include "bench/nearcall_subject.h"
#include "bench/payload.h"
#include "bench/worker.h"
#include "echo.nearcall.pb.h"
#include "nearcall/event_queue.h"

namespace nearcall::bench {

namespace {

using ::bench::Data;

// A program of one thread, with a channel that has none.
class QueueSubject : public Subject {
 public:
  explicit QueueSubject(const SubjectParams& params) : channel_(ConnectTo(params, &queue_)) {}

  void SetSize(size_t size) override { request_.set_payload(MakePayload(size)); }
  void Check() override { ExpectEcho("an event queue", request_.payload(), reply_.payload()); }

 protected:
  EventQueue queue_;
  const std::shared_ptr<Channel> channel_;
  Data request_;
  Data reply_;
};

// Its loop sleeps in poll(2) until there is something to run.
class InLoop final : public QueueSubject {
 public:
  using QueueSubject::QueueSubject;

  void Call() override {
    Stamp(*request_.mutable_payload());
    bool answered = false;
    stub_.Say(request_, [&](absl::StatusOr<Data> reply) {
      ExpectOk(reply.status());
      reply_ = *std::move(reply);
      answered = true;
    });
    for (;;) {
      queue_.Run();
      if (answered) return;
      pollfd ready = {.fd = queue_.fd(), .events = POLLIN, .revents = 0};
      static_cast<void>(::poll(&ready, 1, /*timeout=*/-1));
    }
  }

 private:
  const ::bench::Echo::AsyncStub stub_{channel_};
};

// It waits for the reply, and reads it itself.
class BesideLoop final : public QueueSubject {
 public:
  using QueueSubject::QueueSubject;

  void Call() override {
    Stamp(*request_.mutable_payload());
    ExpectOk(stub_.Say(request_, &reply_));
  }

 private:
  const ::bench::Echo::Stub stub_{channel_};
};

}  // namespace

std::unique_ptr<Subject> MakeQueue(const SubjectParams& params) {
  if (params.subject == "event queue") return std::make_unique<InLoop>(params);
  return std::make_unique<BesideLoop>(params);
}

}  // namespace nearcall::bench
