// SPDX-License-Identifier: Apache-2.0

// The part of the public contract (see contract_test.cc) that is classes to derive from: a program has their type
// information and virtual functions from the library.
#include <memory>

#include "contract.h"
#include "nearcall/generic.h"
#include "nearcall/interceptor.h"

namespace {

class Mirror final : public nearcall::GenericService {
  absl::Status Call(nearcall::ServerContext&, nearcall::CallKind,
                    nearcall::ServerReaderWriter<nearcall::Bytes, nearcall::Bytes>& stream) override {
    nearcall::Bytes message;
    while (stream.Read(&message) && stream.Write(message)) continue;
    return absl::OkStatus();
  }
};

class CoMirror final : public nearcall::CoGenericService {
  nearcall::Task<absl::Status> Call(nearcall::ServerContext&, nearcall::CallKind,
                                    nearcall::CoServerReaderWriter<nearcall::Bytes, nearcall::Bytes>& stream) override {
    nearcall::Bytes message;
    while (co_await stream.Read(&message)) {
      const bool written = co_await stream.Write(message);
      if (!written) break;
    }
    co_return absl::OkStatus();
  }
};

class Refusing final : public nearcall::ServerInterceptor {
  absl::StatusOr<nearcall::OnCallEnd> Start(const nearcall::CallInfo& call, nearcall::ServerContext&) override {
    if (call.method == "demo.Echo/Say") return nullptr;
    return absl::PermissionDeniedError("not this one");
  }
};

class Untouched final : public nearcall::ClientInterceptor {
  absl::StatusOr<nearcall::OnCallEnd> Start(const nearcall::CallInfo&, nearcall::CallOptions&) override {
    return nullptr;
  }
};

template <typename Generic>
void IsServed() {
  Generic service;
  auto server = nearcall::ServerBuilder({.interceptors = {std::make_shared<Refusing>()}})
                    .Listen("shm:derived")
                    .RegisterGeneric(&service)
                    .Start();
  EXPECT(server.ok());
  auto channel = nearcall::Channel::Connect("shm:derived", {.interceptors = {std::make_shared<Untouched>()}});
  EXPECT(channel.ok());
  if (!server.ok() || !channel.ok()) return;
  const demo::Echo::Stub echo(*channel);
  const absl::StatusOr<demo::Reply> reply = echo.Say(MakeRequest("hello"));  // the fields of both are alike
  EXPECT(reply.ok() && reply->text() == "hello");
  EXPECT(absl::IsPermissionDenied(nearcall::GenericStub(*channel).Unary("demo.Echo/Other", {}).status()));
}

}  // namespace

void WithDerivedClasses() {
  IsServed<Mirror>();
  IsServed<CoMirror>();
}
