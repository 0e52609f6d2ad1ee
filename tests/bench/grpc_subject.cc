// SPDX-License-Identifier: Apache-2.0
#include "bench/grpc_subject.h"

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/payload.h"
#include "bench/worker.h"
#include "echo.grpc.pb.h"

namespace nearcall::bench {

namespace {

using Echo = ::bench::over_grpc::Echo;

class EchoService final : public Echo::CallbackService {
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context, const ::bench::Data* request,
                                ::bench::Data* reply) override {
    reply->set_payload(request->payload());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context, const ::bench::Data* request,
                                ::bench::Data* reply) override {
    reply->set_count(LookAtAll(std::as_bytes(std::span(request->payload()))));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<::bench::Data>* Down(grpc::CallbackServerContext*, const ::bench::Data* request) override {
    class Writer final : public grpc::ServerWriteReactor<::bench::Data> {
     public:
      explicit Writer(const ::bench::Data& request) : left_(request.count()) {
        element_.set_payload(request.payload());
        WriteNext();
      }

     private:
      void OnWriteDone(bool ok) override { ok ? WriteNext() : Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
      void WriteNext() { left_-- == 0 ? Finish(grpc::Status::OK) : StartWrite(&element_); }

      uint32_t left_;
      ::bench::Data element_;
    };
    return new Writer(*request);
  }
};

class AsyncGrpc final : public AsyncSubject {
 public:
  AsyncGrpc(std::shared_ptr<grpc::Channel> channel, size_t slots, size_t size, OnAnswer on_answer)
      : stub_(Echo::NewStub(std::move(channel))), slots_(slots), on_answer_(std::move(on_answer)) {
    for (Slot& slot : slots_) slot.request.set_payload(MakePayload(size));
  }

  void Start(size_t index) override {
    Slot& slot = slots_[index];
    slot.context = std::make_unique<grpc::ClientContext>();
    Stamp(*slot.request.mutable_payload());
    stub_->async()->Say(slot.context.get(), &slot.request, &slot.reply, [this, index](const grpc::Status& status) {
      ExpectOk(status);
      ExpectEcho("gRPC", slots_[index].request.payload(), slots_[index].reply.payload());
      on_answer_(index);
    });
  }

 private:
  struct Slot {
    std::unique_ptr<grpc::ClientContext> context;
    ::bench::Data request;
    ::bench::Data reply;
  };

  const std::unique_ptr<Echo::Stub> stub_;
  std::vector<Slot> slots_;
  const OnAnswer on_answer_;
};

class GrpcSubject final : public Subject {
 public:
  explicit GrpcSubject(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)), stub_(Echo::NewStub(channel_)) {}

  void SetSize(size_t size) override { request_.set_payload(MakePayload(size)); }
  std::unique_ptr<Subject> Share() override { return std::make_unique<GrpcSubject>(channel_); }

  std::unique_ptr<AsyncSubject> MakeAsync(size_t slots, size_t size, AsyncSubject::OnAnswer on_answer) override {
    return std::make_unique<AsyncGrpc>(channel_, slots, size, std::move(on_answer));
  }

  void Call() override {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    Stamp(*request_.mutable_payload());
    ExpectOk(stub_->Say(&context, request_, &reply_));
  }
  void Check() override { ExpectEcho("gRPC", request_.payload(), reply_.payload()); }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Echo::Stub> stub_;
  ::bench::Data request_;
  ::bench::Data reply_;
};

class GrpcPut final : public Subject {
 public:
  explicit GrpcPut(const std::shared_ptr<grpc::Channel>& channel) : stub_(Echo::NewStub(channel)) {}

  void SetSize(size_t size) override { request_.set_payload(MakePayload(size)); }
  void Call() override {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    ExpectOk(stub_->Put(&context, request_, &reply_));
  }

 private:
  const std::unique_ptr<Echo::Stub> stub_;
  ::bench::Data request_;
  ::bench::Data reply_;
};

class GrpcDown final : public Subject {
 public:
  explicit GrpcDown(const std::shared_ptr<grpc::Channel>& channel) : stub_(Echo::NewStub(channel)) {
    request_.set_count(kElements);
  }

  int trips_per_call() const override { return kElements; }
  void SetSize(size_t size) override {
    request_.set_payload(MakePayload(size));
    request_.set_count(kElements);
  }

  void Call() override {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto down = stub_->Down(&context, request_);
    for (int i = 0; i < kElements; ++i) {
      if (!down->Read(&reply_)) Die("a gRPC stream has ended too early");
    }
    ExpectOk(down->Finish());
  }
  void Check() override { ExpectEcho("gRPC", request_.payload(), reply_.payload()); }

 private:
  const std::unique_ptr<Echo::Stub> stub_;
  ::bench::Data request_;
  ::bench::Data reply_;
};

constexpr int kNoLimit = -1;

}  // namespace

void ExpectOk(const grpc::Status& status) {
  if (!status.ok()) Die("a gRPC call failed: " + status.error_message());
}

std::shared_ptr<grpc::Channel> ConnectGrpc(const SubjectParams& params) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kNoLimit);
  return grpc::CreateCustomChannel(params.address, grpc::InsecureChannelCredentials(), arguments);
}

bool HasGrpc() {
  return true;
}

std::unique_ptr<Subject> MakeGrpc(const SubjectParams& params) {
  return std::make_unique<GrpcSubject>(ConnectGrpc(params));
}

std::unique_ptr<Subject> MakeGrpcPut(const SubjectParams& params) {
  return std::make_unique<GrpcPut>(ConnectGrpc(params));
}

std::unique_ptr<Subject> MakeGrpcDown(const SubjectParams& params) {
  return std::make_unique<GrpcDown>(ConnectGrpc(params));
}

void ServeGrpc(const SubjectParams& params) {
  EchoService service;
  ServeGrpc(params, service);
}

void ServeGrpc(const SubjectParams& params, grpc::Service& service) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kNoLimit);
  builder.AddListeningPort(params.address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) std::exit(1);
  ReadyUntilEndOfInput();
  server->Shutdown();
}

}  // namespace nearcall::bench
