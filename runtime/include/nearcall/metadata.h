// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nearcall/export.h"

namespace nearcall {

// Key-value pairs that travel beside a message: request metadata from the client, initial and trailing metadata from
// the server. A key may occur several times; order is kept. The rules are gRPC's
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Custom-Metadata"): a key is made of `0-9 a-z _ -
// .`, a value is printable ASCII unless the key ends in `-bin`, then it is any bytes.
//
//   nearcall::Metadata metadata = {{"trace-id", "7f3a"}, {"token-bin", raw_bytes}};
//
// A value type: copyable, not synchronised.
class NEARCALL_EXPORT Metadata {
 public:
  using Entry = std::pair<std::string, std::string>;
  using const_iterator = std::vector<Entry>::const_iterator;

  Metadata() = default;
  Metadata(std::initializer_list<Entry> entries) : entries_(entries) {}

  void Add(absl::string_view key, absl::string_view value) {
    entries_.emplace_back(std::string(key), std::string(value));
  }

  // The first value of `key`, or nothing.
  std::optional<absl::string_view> Get(absl::string_view key) const;

  // INVALID_ARGUMENT naming the first key or value that breaks the rules above. Checked by the runtime when a call
  // starts and when a handler returns.
  absl::Status Validate() const;

  void Clear() { entries_.clear(); }
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  const_iterator begin() const { return entries_.begin(); }
  const_iterator end() const { return entries_.end(); }

  friend bool operator==(const Metadata&, const Metadata&) = default;

 private:
  std::vector<Entry> entries_;
};

}  // namespace nearcall
