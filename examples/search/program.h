// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "lines.h"

namespace search {

// Where a program's errors go. A terminal is a pseudo one.
enum class Errors { kToFile, kToTerminal };

// A program that a test runs, and talks to in lines. Killed at the end if it still runs.
class Program {
 public:
  explicit Program(const std::vector<std::string>& command, Errors errors = Errors::kToFile);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();

  // What it says next; empty when it has closed its output.
  std::string ReadLine();
  void WriteLine(const std::string& line) const;

  void Signal(int signal) const;

  // Reads what it still says, and waits for its end. Its exit code, or 128 and the number of the signal that ended it.
  int End();

  // After its end: what it has said by then, and its errors.
  const std::string& output() const { return output_; }
  const std::string& errors() const { return errors_text_; }

 private:
  class Fd {
   public:
    explicit Fd(int fd = -1) : fd_(fd) {}
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { Reset(); }
    int get() const { return fd_; }
    void Reset(int fd = -1);

   private:
    int fd_;
  };

  void OpenErrors(Errors errors);
  std::string ReadErrors() const;

  Fd input_;  // it reads what we write there
  Fd output_fd_;
  Fd errors_;      // ours
  Fd its_errors_;  // its own end: until it has been started, or, of a terminal, until its end
  std::unique_ptr<Lines> lines_;
  pid_t pid_ = -1;
  std::string output_;
  std::string errors_text_;
};

}  // namespace search
