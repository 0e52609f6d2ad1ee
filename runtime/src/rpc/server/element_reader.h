// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "google/protobuf/message_lite.h"
#include "nearcall/buffer.h"
#include "nearcall/internal/stream.h"
#include "nearcall/unique_fd.h"
#include "rpc/read_elements.h"
#include "rpc/server/served_stream.h"
#include "session/credit.h"

namespace nearcall::rpc {

// Reads the elements that the client sends in a call's stream, and gives it credit for more. By one thread at a time.
// Never blocks.
class ElementReader {
 public:
  explicit ElementReader(const ServedStream& stream)
      : stream_(stream), read_(static_cast<uint32_t>(stream.core.options.stream_window_bytes)) {}

  // kOver: no further one comes, or the stream has failed.
  internal::Tried Read(google::protobuf::MessageLite& message);
  // Those of the last element.
  std::vector<UniqueFd> TakeDescriptors() { return mine_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const { return mine_.attachments(); }
  // Whether there is one that was taken already.
  bool has_some() const { return !mine_.empty(); }

 private:
  internal::Tried ReadNext(google::protobuf::MessageLite& message);
  bool Parse(google::protobuf::MessageLite& message);
  void GiveCredit(size_t element_size);

  const ServedStream& stream_;
  ReadElements mine_;
  session::ReadCount read_;
};

}  // namespace nearcall::rpc
