// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "nearcall/priority.h"

// Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

enum class MethodKind : uint8_t { kUnary, kClientStreaming, kServerStreaming, kBidiStreaming, kOneWay };

constexpr bool ClientStreams(MethodKind kind) {
  return kind == MethodKind::kClientStreaming || kind == MethodKind::kBidiStreaming;
}
constexpr bool ServerStreams(MethodKind kind) {
  return kind == MethodKind::kServerStreaming || kind == MethodKind::kBidiStreaming;
}

// The number by which a method is called on the wire: FNV-1a (64 bit) of "package.Service/Method". A server refuses to
// start with two methods of one number. (http://www.isthe.com/chongo/tech/comp/fnv/)
constexpr uint64_t MethodId(const char* full_name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (; *full_name != '\0'; ++full_name) {
    hash = (hash ^ static_cast<uint8_t>(*full_name)) * 0x100000001b3u;
  }
  return hash;
}

// What both sides know of a method from its `.proto`.
struct MethodInfo {
  const char* full_name;  // "package.Service/Method"
  uint64_t id;            // MethodId(full_name)
  MethodKind kind;
  Priority priority;   // the default
  int64_t timeout_ns;  // the default; 0: none
  bool may_block;      // the handler may block for long: give it a worker thread at once
  // Called, or served, by its name: its messages are nearcall::Bytes, whatever is in them. (nearcall/generic.h)
  bool generic = false;
  uint8_t max_descriptors = 0;  // that may go with one of its messages
};

constexpr MethodInfo MakeMethod(const char* full_name, MethodKind kind, Priority priority, int64_t timeout_ns,
                                bool may_block, uint8_t max_descriptors = 0) {
  return {full_name, MethodId(full_name), kind, priority, timeout_ns, may_block, /*generic=*/false, max_descriptors};
}

}  // namespace nearcall::internal
