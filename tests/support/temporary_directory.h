// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "support/scoped_env.h"

namespace nearcall::testing {

// With what the names of all temporary directories of this program begin, its children's too.
inline std::string TemporaryPrefix() {
  const char* const run = std::getenv("NEARCALL_TEST_RUN");  // see leak_check_main.cc
  return std::string("nearcall-test-") + (run == nullptr ? "" : run) + "-";
}

// An empty directory that is removed with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(std::filesystem::temp_directory_path() / (TemporaryPrefix() + "XXXXXX")) {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  }
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
    EXPECT_FALSE(error) << path_ << ": " << error.message();
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::vector<std::string> Entries() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename());
    return names;
  }

 private:
  std::string path_;
};

// A directory for servers' names, which NEARCALL_DIR points to.
class NameDirectory : public TemporaryDirectory {
 private:
  ScopedEnv env_{"NEARCALL_DIR", path().c_str()};
};

}  // namespace nearcall::testing
