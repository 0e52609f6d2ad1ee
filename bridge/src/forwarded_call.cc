// SPDX-License-Identifier: Apache-2.0
#include "forwarded_call.h"

#include <utility>

#include "method_kinds.h"

namespace nearcall::grpc {

namespace {

absl::Status NoDescriptors() {
  return absl::FailedPreconditionError("the answer has some, but descriptors cannot leave this machine");
}

}  // namespace

ForwardedCall::ForwardedCall(const Destination& destination, ::grpc::GenericCallbackServerContext& context,
                             std::string method, std::function<void()> ended)
    : destination_(destination),
      method_(std::move(method)),
      ended_(std::move(ended)),
      stub_(destination.channel),
      incoming_(context, [this] { Release(); }),
      options_(incoming_.Options()) {}

IncomingCall* ForwardedCall::Begin() {
  IncomingCall* const call = &incoming_;
  Start(Serve(), [this](const absl::Status& status) { End(status); });
  return call;
}

Task<absl::Status> ForwardedCall::Serve() {
  const absl::StatusOr<CallKind> kind = co_await destination_.kinds->Find(method_, options_.stop_token);
  if (!kind.ok()) co_return kind.status();
  switch (*kind) {
    case CallKind::kUnary:
      co_return co_await Unary();
    case CallKind::kOneWay:
      co_return co_await OneWay();
    case CallKind::kServerStreaming:
      co_return co_await ServerStreaming();
    case CallKind::kClientStreaming:
      co_return co_await ClientStreaming();
    case CallKind::kBidiStreaming:
      co_return co_await BidiStreaming();
  }
  co_return absl::InternalError("there is no such kind of call");
}

Task<absl::Status> ForwardedCall::Unary() {
  Bytes request;
  if (absl::Status read = co_await ReadRequest(request); !read.ok()) co_return read;
  std::vector<UniqueFd> descriptors;
  std::vector<Buffer> attachments;
  options_.reply_descriptors = &descriptors;
  options_.reply_attachments = &attachments;
  auto call = stub_.Unary(method_, request, options_);
  const absl::StatusOr<Bytes> reply = co_await call;
  incoming_.AddTrailing(call.metadata().trailing);
  if (!reply.ok()) co_return reply.status();
  if (!descriptors.empty()) co_return NoDescriptors();
  incoming_.Reply(*reply, attachments, call.metadata());
  co_return absl::OkStatus();
}

Task<absl::Status> ForwardedCall::OneWay() {
  Bytes request;
  if (absl::Status read = co_await ReadRequest(request); !read.ok()) co_return read;
  auto call = stub_.OneWay(method_, request, options_);
  const absl::Status status = co_await call;
  if (status.ok()) incoming_.Reply(Bytes(), {}, {});
  co_return status;
}

Task<absl::Status> ForwardedCall::ServerStreaming() {
  Bytes request;
  if (absl::Status read = co_await ReadRequest(request); !read.ok()) co_return read;
  auto call = stub_.ServerStreaming(method_, request, options_);
  co_return co_await Replies(call);
}

Task<absl::Status> ForwardedCall::ClientStreaming() {
  std::vector<Buffer> attachments;
  options_.reply_attachments = &attachments;
  writer_.emplace(stub_.ClientStreaming(method_, options_));
  StartRequests(*writer_);
  // They come with the reply. Finish() half-closes, and is not to do that before the client does.
  co_await writer_->WaitForInitialMetadata();
  const absl::StatusOr<Bytes> reply = co_await writer_->Finish();
  incoming_.AddTrailing(writer_->metadata().trailing);
  if (reply.ok()) incoming_.Reply(*reply, attachments, writer_->metadata());
  co_return reply.status();
}

Task<absl::Status> ForwardedCall::BidiStreaming() {
  reader_writer_.emplace(stub_.BidiStreaming(method_, options_));
  StartRequests(*reader_writer_);
  co_return co_await Replies(*reader_writer_);
}

template <typename From>
Task<absl::Status> ForwardedCall::Replies(From& from) {
  if (co_await from.WaitForInitialMetadata()) {
    co_await incoming_.SendMetadata(from.metadata().initial);
  }
  Bytes message;
  bool has_descriptors = false;
  while (co_await from.Read(&message)) {
    has_descriptors = !from.TakeDescriptors().empty();
    if (!has_descriptors && co_await incoming_.Write(message, from.attachments())) continue;
    from.Cancel();
    break;
  }
  const absl::Status status = co_await from.Finish();
  incoming_.AddTrailing(from.metadata().trailing);
  co_return has_descriptors ? NoDescriptors() : status;
}

// It ends at the latest when the call does, whose reads are false then.
template <typename To>
void ForwardedCall::StartRequests(To& to) {
  owners_.fetch_add(1, std::memory_order_relaxed);
  Start(Requests(to), [this] { Release(); });
}

template <typename To>
Task<> ForwardedCall::Requests(To& to) {
  Parcel parcel;
  while (co_await incoming_.Read()) {
    if (!incoming_.Take(parcel).ok()) {
      to.Cancel();
      co_return;
    }
    for (Buffer& buffer : parcel.attachments) to.Attach(std::move(buffer));
    if (!co_await to.Write(parcel.message)) co_return;
  }
  if (incoming_.cancelled()) {
    to.Cancel();
  } else {
    to.WritesDone();
  }
}

Task<absl::Status> ForwardedCall::ReadRequest(Bytes& message) {
  if (!co_await incoming_.Read()) co_return absl::InvalidArgumentError("the call has brought no request");
  Parcel parcel;
  if (absl::Status taken = incoming_.Take(parcel); !taken.ok()) co_return taken;
  message = std::move(parcel.message);
  options_.attachments = std::move(parcel.attachments);
  co_return absl::OkStatus();
}

void ForwardedCall::End(const absl::Status& status) {
  if (absl::IsUnimplemented(status)) destination_.kinds->Forget(ServiceOf(method_));
  incoming_.End(status);
  Release();
}

void ForwardedCall::Release() {
  if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace nearcall::grpc
