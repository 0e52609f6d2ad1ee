// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "bench/subject.h"
#include "echo.grpc.pb.h"

namespace nearcall::bench {

namespace {

using Echo = ::bench::over_grpc::Echo;

constexpr int kNoLimit = -1;

// Calls that a queue has asked for before they come. More wait within gRPC.
constexpr int kCallsInHand = 128;

struct Call {
  grpc::ServerContext context;
  ::bench::Data request;
  ::bench::Data reply;
  grpc::ServerAsyncResponseWriter<::bench::Data> responder{&context};
};

// One call after the other. Used by the thread of its queue.
class Place {
 public:
  Place(Echo::AsyncService& service, grpc::ServerCompletionQueue& queue) : service_(service), queue_(queue) { Await(); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  // What was asked for last is done.
  void Continue() {
    if (is_answered_) return Await();
    is_answered_ = true;
    call_->reply.set_payload(call_->request.payload());
    call_->responder.Finish(call_->reply, grpc::Status::OK, this);
  }

 private:
  void Await() {
    is_answered_ = false;
    call_.emplace();
    service_.RequestSay(&call_->context, &call_->request, &call_->responder, &queue_, &queue_, this);
  }

  Echo::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  std::optional<Call> call_;
  bool is_answered_ = false;
};

void ServeQueue(Echo::AsyncService& service, grpc::ServerCompletionQueue& queue) {
  std::deque<Place> places;
  for (int i = 0; i < kCallsInHand; ++i) places.emplace_back(service, queue);
  void* place = nullptr;
  // Not ok: the server shuts down.
  for (bool ok = false; queue.Next(&place, &ok);) {
    if (ok) static_cast<Place*>(place)->Continue();
  }
}

}  // namespace

void ServeGrpcQueues(const SubjectParams& params) {
  Echo::AsyncService service;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kNoLimit);
  builder.AddListeningPort(params.address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) queues.push_back(builder.AddCompletionQueue());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) std::exit(1);
  std::vector<std::thread> threads;
  for (const auto& queue : queues) threads.emplace_back([&] { ServeQueue(service, *queue); });
  ReadyUntilEndOfInput();
  server->Shutdown();
  for (const auto& queue : queues) queue->Shutdown();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace nearcall::bench
