// SPDX-License-Identifier: Apache-2.0
#include "suspending_service.h"

#include <cstddef>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "stream_service.h"

namespace nearcall::integration {

SuspendingService::SuspendingService() {
  const StreamService blocking;
  const internal::ServiceInfo& info = blocking.GetServiceInfo();
  const auto add = [&](size_t method, void (*run)(Service & service, internal::ServerCall & call)) {
    methods_.push_back({info.methods[method].info, run, /*suspends=*/true});
  };
  add(0, &Run<&SuspendingService::down>);
  add(1, &Run<&SuspendingService::up>);
  add(2, &Run<&SuspendingService::chat>);
  info_ = {info.full_name, methods_};
}

template <SuspendingService::Handler SuspendingService::*kHandler>
void SuspendingService::Run(Service& service, internal::ServerCall& call) {
  Blob request;
  if (!call.ParseRequest(request)) return;
  (static_cast<SuspendingService&>(service).*kHandler)({call.context(), call.stream(), request, call.Defer()});
}

Detached SuspendingService::CountDown(SuspendedCall call) {
  const int count = std::atoi(call.request.data().c_str());
  bool written = true;
  for (int i = 0; i < count && written; ++i) {
    const Blob element = MakeBlob(absl::StrCat(i));
    written = co_await call.Write(element);
  }
  call.answer->FinishStream(written ? absl::OkStatus() : absl::CancelledError(""));
}

Detached SuspendingService::CountUp(SuspendedCall call) {
  size_t count = 0;
  size_t bytes = 0;
  for (Blob element; co_await call.Read(element); ++count) bytes += element.data().size();
  call.answer->Finish(absl::OkStatus(), MakeBlob(absl::StrCat(count, " elements, ", bytes, " B")));
}

Detached SuspendingService::ChatBack(SuspendedCall call) {
  Blob element;
  while (co_await call.Read(element)) {
    if (!co_await call.Write(element)) break;
  }
  call.answer->FinishStream(absl::OkStatus());
}

}  // namespace nearcall::integration
