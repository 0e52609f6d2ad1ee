// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/nearcall_subject.h"
#include "bench/payload.h"
#include "bench/worker.h"

namespace nearcall::bench {

namespace {

// Looks at what it gets, if it is asked to.
class PutService final : public ::bench::Echo::Service {
  absl::Status Put(ServerContext& context, const ::bench::Data& request, ::bench::Data& reply) override {
    if (request.count() == 0) return absl::OkStatus();
    const Buffer& attached = context.attachment(0);
    const std::span<const std::byte> bytes =
        attached.empty() ? std::as_bytes(std::span(request.payload())) : attached.bytes();
    reply.set_count(LookAtAll(bytes));
    return absl::OkStatus();
  }
};

class PutSubject final : public Subject {
 public:
  explicit PutSubject(const SubjectParams& params)
      : attaches_(params.subject != "put"),
        fresh_(params.subject == "put fresh" || params.subject == "put pool"),
        pool_(params.subject == "put pool" || params.subject == "put pool again" ? kMaxPool : 0),
        stub_(ConnectTo(params)) {
    request_.set_count(params.subject == "lend" ? 0 : 1);
  }

  void SetSize(size_t size) override {
    size_ = size;
    if (attaches_) {
      options_.attachments = {Make()};
    } else {
      request_.set_payload(MakePayload(size));
    }
  }

  void Call() override {
    if (fresh_) options_.attachments = {Make()};
    ExpectOk(stub_.Put(request_, &reply_, options_));
  }

 private:
  Buffer Make() {
    Buffer buffer = MakeBuffer(pool_, size_);
    std::memset(buffer.mutable_bytes().data(), 7, size_);
    return buffer;
  }

  const bool attaches_;
  const bool fresh_;
  BufferPool pool_;  // without room: none
  const ::bench::Echo::Stub stub_;
  size_t size_ = 0;
  ::bench::Data request_;
  ::bench::Data reply_;
  CallOptions options_;
};

// What no transport can beat: one process fills memory that it has, or not, and looks at it.
class LookFloor final : public Subject {
 public:
  explicit LookFloor(bool fills) : fills_(fills) {}

  void SetSize(size_t size) override { memory_.assign(size, std::byte{7}); }

  void Call() override {
    if (fills_) std::memset(memory_.data(), 7, memory_.size());
    looked_ += LookAtAll(memory_);
  }

  void Check() override {
    if (looked_ == 0) Die("look: nothing was seen");
  }

 private:
  const bool fills_;
  std::vector<std::byte> memory_;
  uint64_t looked_ = 0;
};

}  // namespace

std::unique_ptr<Subject> MakeLook(const SubjectParams& params) {
  return std::make_unique<LookFloor>(params.subject == "fill and look");
}

std::unique_ptr<Subject> MakePut(const SubjectParams& params) {
  return std::make_unique<PutSubject>(params);
}

void ServePut(const SubjectParams& params) {
  PutService service;
  auto server = ServerBuilder({.max_message_size = kMaxBytes,
                               .handshake_timeout = absl::Seconds(30),
                               .max_spin = absl::Microseconds(params.spin_us),
                               .max_attachment_bytes = kMaxBytes,
                               .trust_sender = true})
                    .Listen(params.address)
                    .Register(&service)
                    .Start();
  if (!server.ok()) Die(absl::StrCat("no server: ", server.status().ToString()));
  ReadyUntilEndOfInput();
}

}  // namespace nearcall::bench
