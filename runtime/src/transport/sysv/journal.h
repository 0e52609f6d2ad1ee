// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/ipc.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace nearcall::transport::sysv {

// Where the queues of one connection are written down before they are made, so that they are found when both sides were
// killed: a symbolic link in the directory of the server's names (rendezvous/directory.h), made and read by one system
// call each. Its name is the key of the queues, and what it would lead to says which process made it.
class Journal {
 public:
  // One that nobody has. FAILED_PRECONDITION without a directory of names that only this user can write, or without
  // /proc; RESOURCE_EXHAUSTED without a descriptor.
  static absl::StatusOr<Journal> Create();

  // Removes the queues and the journals of processes of this user that are dead. A process of another pid namespace is
  // left to those who can see it.
  static void Sweep();

  Journal(Journal&& other) noexcept : path_(std::move(other.path_)), key_(other.key_) { other.path_.clear(); }
  Journal& operator=(Journal&&) = delete;
  ~Journal() = default;  // stays: see Remove()

  key_t to_server_key() const { return key_; }
  key_t to_client_key() const { return key_ + 1; }

  // When there is nothing to be found any more.
  void Remove();

 private:
  Journal(std::string path, key_t key) : path_(std::move(path)), key_(key) {}

  std::string path_;  // empty: moved from, or removed
  key_t key_;
};

}  // namespace nearcall::transport::sysv
