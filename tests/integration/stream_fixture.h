// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fixture.h"
#include "stream_service.h"

namespace nearcall::integration {

// A test that goes wrong ends all the same.
inline CallOptions InTime() {
  return {.timeout = kLong};
}

// The `number`th element of a stream, of `size` bytes. No two of more than a few bytes are the same, and nor are two
// places in one.
Blob Element(size_t number, size_t size);
// Says no more than it has to: elements may be large.
bool IsElement(const Blob& blob, size_t number, size_t size);

// How many elements of `size` bytes a writer writes into a whole window while nobody reads: what fits, and one more
// that begins with the rest.
struct Bounds {
  size_t at_least;
  size_t at_most;
};
Bounds ElementsIn(size_t window, size_t size);

// Serves Streams and Echo.
class StreamTest : public IntegrationTest {
 protected:
  std::unique_ptr<Server> StartServer(ServerOptions options = {});

  Streams::Stub ConnectStreams(ChannelOptions options = {}) { return Streams::Stub(Connect(std::move(options))); }

  // A handler of Chat and of Up that begins, and reads only when `may_read` is set. Sets `saw_cancel` if the call was
  // cancelled when Read() had nothing more.
  void ReadOnlyWhenTold();

  StreamService streams;
  Event began;
  Event may_read;
  Event saw_cancel;
};

}  // namespace nearcall::integration
