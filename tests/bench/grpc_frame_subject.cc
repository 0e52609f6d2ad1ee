// SPDX-License-Identifier: Apache-2.0
#include <deque>
#include <memory>
#include <span>
#include <string>

#include "bench/film.h"
#include "bench/grpc_subject.h"
#include "bench/payload.h"
#include "bench/worker.h"
#include "frames.grpc.pb.h"

namespace nearcall::bench {

namespace {

using Frames = ::bench::over_grpc::Frames;
using ::bench::Order;
using ::bench::Picture;

class FramesService final : public Frames::CallbackService {
  grpc::ServerUnaryReactor* Decode(grpc::CallbackServerContext* context, const Order* order, Picture* reply) override {
    std::string& pixels = *reply->mutable_pixels();
    pixels.resize(size_t{order->pixels()} * sizeof(uint32_t));
    const bool decoded = DecodeFilm(std::as_bytes(std::span(order->film())), std::as_writable_bytes(std::span(pixels)));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(decoded ? grpc::Status::OK : grpc::Status(grpc::DATA_LOSS, "the film is not of that size"));
    return reactor;
  }

  grpc::ServerWriteReactor<Picture>* Watch(grpc::CallbackServerContext*, const Order*) override {
    class Writer final : public grpc::ServerWriteReactor<Picture> {
     public:
      Writer() {
        picture_.mutable_pixels()->assign(kCameraBytes, 1);
        StartWrite(&picture_);
      }

     private:
      void OnWriteDone(bool ok) override { ok ? StartWrite(&picture_) : Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }

      Picture picture_;
    };
    return new Writer;
  }
};

class GrpcDecode final : public Subject {
 public:
  explicit GrpcDecode(const std::shared_ptr<grpc::Channel>& channel) : stub_(Frames::NewStub(channel)) {}

  void SetSize(size_t size) override {
    order_.set_pixels(static_cast<uint32_t>(size / sizeof(uint32_t)));
    order_.set_film(MakeFilm(order_.pixels()));
  }
  void Call() override {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    ExpectOk(stub_->Decode(&context, order_, &reply_));
    LookAtAll(std::as_bytes(std::span(reply_.pixels())));
  }

 private:
  const std::unique_ptr<Frames::Stub> stub_;
  Order order_;
  Picture reply_;
};

struct Viewer {
  explicit Viewer(const SubjectParams& params) : stub(Frames::NewStub(ConnectGrpc(params))) {
    context.set_wait_for_ready(true);
    stream = stub->Watch(&context, {});
  }
  ~Viewer() { context.TryCancel(); }

  const std::unique_ptr<Frames::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<Picture>> stream;
};

class GrpcWatch final : public Subject {
 public:
  explicit GrpcWatch(const SubjectParams& params) {
    for (int i = 0; i < kViewers; ++i) viewers_.emplace_back(params);
  }

  void Call() override {
    for (Viewer& viewer : viewers_) {
      if (!viewer.stream->Read(&picture_)) Die("gRPC's camera has ended");
      LookAtAll(std::as_bytes(std::span(picture_.pixels())));
    }
  }

 private:
  std::deque<Viewer> viewers_;
  Picture picture_;
};

}  // namespace

std::unique_ptr<Subject> MakeGrpcFrames(const SubjectParams& params) {
  if (params.subject == "grpc watch") return std::make_unique<GrpcWatch>(params);
  return std::make_unique<GrpcDecode>(ConnectGrpc(params));
}

void ServeGrpcFrames(const SubjectParams& params) {
  FramesService service;
  ServeGrpc(params, service);
}

}  // namespace nearcall::bench
