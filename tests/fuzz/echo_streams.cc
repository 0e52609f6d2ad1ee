// SPDX-License-Identifier: Apache-2.0
#include "fuzz/echo_streams.h"

#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "nearcall/internal/streaming.h"

namespace nearcall::fuzz {

absl::Status EchoStreams::Down(ServerContext&, const Bytes& request, ServerWriter<Bytes>& writer) {
  ++running_;
  const absl::Cleanup end = [this] { --running_; };
  Bytes element = request;
  if (absl::StartsWith(request.value(), "g")) element.set_value(std::string(kMuch, 'g'));
  for (size_t i = 0; i < kElements; ++i) {
    if (!writer.Write(element)) return absl::CancelledError();
  }
  return absl::OkStatus();
}

absl::Status EchoStreams::Up(ServerContext&, ServerReader<Bytes>& reader, Bytes& reply) {
  ++running_;
  const absl::Cleanup end = [this] { --running_; };
  for (const Bytes& element : reader) reply = element;
  return absl::OkStatus();
}

absl::Status EchoStreams::Chat(ServerContext&, ServerReaderWriter<Bytes, Bytes>& stream) {
  ++running_;
  const absl::Cleanup end = [this] { --running_; };
  bool writes = true;
  for (const Bytes& element : stream) {
    writes = writes && !absl::StartsWith(element.value(), "r");
    const std::vector<UniqueFd> came = stream.TakeDescriptors();
    std::vector<int> lent;
    for (const UniqueFd& fd : came) lent.push_back(fd.get());
    if (writes && !stream.Write(element, lent)) return absl::CancelledError();
  }
  return absl::OkStatus();
}

const internal::ServiceInfo& EchoStreams::GetServiceInfo() const {
  using Kind = internal::MethodKind;
  static constexpr internal::ServerMethod kTable[] = {
      {internal::MakeMethod("fuzz.EchoStreams/Down", Kind::kServerStreaming, Priority::kNormal, 0, false, 4),
       &internal::RunServerStreaming<EchoStreams, Bytes, Bytes, &EchoStreams::Down>},
      {internal::MakeMethod("fuzz.EchoStreams/Up", Kind::kClientStreaming, Priority::kNormal, 0, false, 4),
       &internal::RunClientStreaming<EchoStreams, Bytes, Bytes, &EchoStreams::Up>},
      {internal::MakeMethod("fuzz.EchoStreams/Chat", Kind::kBidiStreaming, Priority::kNormal, 0, false, 4),
       &internal::RunBidiStreaming<EchoStreams, Bytes, Bytes, &EchoStreams::Chat>},
  };
  static constexpr internal::ServiceInfo kInfo = {"fuzz.EchoStreams", kTable};
  return kInfo;
}

}  // namespace nearcall::fuzz
