// SPDX-License-Identifier: Apache-2.0

// Each rule reports what it is there for, and nothing else.

#include "rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "functions.h"

namespace nearcall::tidy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string Repeat(absl::string_view what, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) absl::StrAppend(&all, what);
  return all;
}

TEST(IncludesGoDownTest, ReportsAnIncludeThatGoesUp) {
  EXPECT_THAT(IncludesGoDown({"runtime/src/base/fd.h", "#pragma once\n#include \"session/outbox.h\"\n"}),
              ElementsAre("runtime/src/base/fd.h:2: session/outbox.h is not below this file"));
  EXPECT_THAT(IncludesGoDown({"runtime/src/session/a.cc", "#include \"rpc/client/channel.h\"\n"}), SizeIs(1));
}

TEST(IncludesGoDownTest, ReportsSiblings) {
  EXPECT_THAT(IncludesGoDown({"runtime/src/wire/a.h", "#include \"transport/shm/ring.h\"\n"}), SizeIs(1));
  EXPECT_THAT(IncludesGoDown({"runtime/src/transport/shm/a.h", "  #  include \"wire/header.h\"\n"}), SizeIs(1));
}

TEST(IncludesGoDownTest, ReportsInnerHeadersOutsideOfTheRuntime) {
  EXPECT_THAT(IncludesGoDown({"examples/a.cc", "#include \"base/fd.h\"\n"}), SizeIs(1));
  EXPECT_THAT(IncludesGoDown({"protoc-plugin/a.cc", "#include \"base/fd.h\"\n"}), SizeIs(1));
  EXPECT_THAT(IncludesGoDown({"runtime/include/nearcall/a.h", "#include \"base/fd.h\"\n"}), SizeIs(2));
}

TEST(IncludesGoDownTest, ReportsTheOtherEnd) {
  EXPECT_THAT(IncludesGoDown({"runtime/src/rpc/client/a.cc", "#include \"rpc/server/server.h\"\n"}), SizeIs(1));
  EXPECT_THAT(IncludesGoDown({"runtime/src/rpc/server/a.cc", "#include \"rpc/client/channel.h\"\n"}), SizeIs(1));
}

TEST(IncludesGoDownTest, LetsOthersPass) {
  const std::string includes = "#include \"base/fd.h\"\n#include \"absl/time/time.h\"\n#include <mutex>\n";
  EXPECT_THAT(IncludesGoDown({"runtime/src/rpc/a.cc", includes + "#include \"session/outbox.h\"\n"}), IsEmpty());
  EXPECT_THAT(IncludesGoDown({"runtime/src/base/a.cc", includes}), IsEmpty());
  EXPECT_THAT(IncludesGoDown({"tests/unit/base/a_test.cc", includes + "#include \"rpc/client/channel.h\"\n"}),
              IsEmpty());
  EXPECT_THAT(IncludesGoDown({"runtime/include/nearcall/a.h", "#include \"nearcall/b.h\"\n"}), IsEmpty());
}

TEST(HeadersHavePragmaOnceTest, ReportsGuards) {
  EXPECT_THAT(HeadersHavePragmaOnce({"a.h", "#ifndef A_H\n#define A_H\n#endif\n"}), SizeIs(1));
  EXPECT_THAT(HeadersHavePragmaOnce({"a.h", "// About.\n#pragma once\n"}), IsEmpty());
  EXPECT_THAT(HeadersHavePragmaOnce({"a.cc", ""}), IsEmpty());
}

TEST(FilesAreShortTest, CountsLines) {
  EXPECT_THAT(FilesAreShort({"a.cc", Repeat("\n", 600)}), IsEmpty());
  EXPECT_THAT(FilesAreShort({"a.cc", Repeat("\n", 601)}), SizeIs(1));
  EXPECT_THAT(FilesAreShort({"dev", Repeat("\n", 601)}), SizeIs(1));
  EXPECT_THAT(FilesAreShort({"README.md", Repeat("\n", 601)}), IsEmpty());
}

TEST(LinesAreShortTest, CountsCharacters) {
  EXPECT_THAT(LinesAreShort({"a.cc", Repeat("ü", 120) + "\n"}), IsEmpty());
  EXPECT_THAT(LinesAreShort({"a.cc", "\n" + Repeat("x", 121)}), ElementsAre("a.cc:2: a line of 121 characters"));
}

TEST(FunctionsAreShortTest, CountsFromTheHeadToTheBrace) {
  EXPECT_THAT(FunctionsAreShort({"a.cc", "void F(int x,\n       int y) {\n" + Repeat("  f();\n", 67) + "}\n"}),
              IsEmpty());
  EXPECT_THAT(FunctionsAreShort({"a.cc", "\nvoid F(int x,\n       int y) {\n" + Repeat("  f();\n", 68) + "}\n"}),
              ElementsAre("a.cc:2: a function of 71 lines"));
}

TEST(FunctionsAreShortTest, KnowsMethodsTestsAndConstructors) {
  const std::string body = Repeat("  if (x) {\n    f();\n  }\n", 30);
  for (const std::string head : {"TEST_F(A, B)", "auto C::M() const noexcept -> int", "C::C(int x) : x_(x), y_(0)",
                                 "template <typename T>\nT F(T t)", "int main()",
                                 "absl::Status C::F(const std::vector<std::pair<int, int>>& x)", "struct S F()"}) {
    EXPECT_THAT(FunctionsAreShort({"a.cc", head + " {\n" + body + "}\n"}), SizeIs(1)) << head;
    EXPECT_THAT(FunctionsAreShort(
                    {"a.cc", "namespace n {\nclass D final : public E {\n" + head + " {\n" + body + "}\n};\n}\n"}),
                SizeIs(1))
        << head;
  }
}

TEST(FunctionsAreShortTest, LetsTypesNamespacesAndTablesBeLong) {
  const std::string small = Repeat("int F() { return '{' + 1'000; }\n", 80);
  for (const std::string head :
       {"namespace {", "class A final : public B {", "enum class E : int {", "extern \"C\" {"}) {
    EXPECT_THAT(FunctionsAreShort({"a.cc", head + "\n" + small + "};\n"}), IsEmpty()) << head;
  }
  EXPECT_THAT(FunctionsAreShort({"a.cc", "const int kTable[] = {\n" + Repeat("    f(1),\n", 80) + "};\n"}), IsEmpty());
  EXPECT_THAT(FunctionsAreShort({"a.cc", "const char* kText = R\"(\nvoid F() {\n" + Repeat("\n", 80) + "}\n)\";\n"}),
              IsEmpty());
  EXPECT_THAT(FunctionsAreShort({"a.h", "#define F() { \\\n" + Repeat("  f(); \\\n", 80) + "}\n"}), IsEmpty());
}

TEST(ClassesAreSmallTest, CountsMethods) {
  const auto with = [](const std::string& methods) {
    return SourceFile{"runtime/src/base/a.h", "class A final : public B<C, D> {\n public:\n" + methods + "};\n"};
  };
  const std::string some = Repeat("  void F(int x) const;\n", 19) +
                           "  A() : x_(1), y_{2} {}\n  ~A() override = default;\n" +
                           "  int F(S s = {}) ABSL_REQUIRES(mutex_) { return g(s); }\n  A& operator=(A&&);\n";
  const std::string others =
      "  A(const A&) = delete;\n  friend bool Eq(A, A);\n  using F = void(int);\n  enum class E { kA };\n"
      "  struct S {\n    void f();\n  };\n  std::function<void(int)> on_end_ ABSL_GUARDED_BY(mutex_) = {};\n"
      "  int z_ = f(1);\n  std::atomic<bool> b_{false};\n";
  EXPECT_THAT(ClassesAreSmall(with(some + "  template <typename T>\n  [[nodiscard]] T G();\n" + others)), IsEmpty());
  EXPECT_THAT(ClassesAreSmall(with(some + "  void G();\n private:\n  void H();\n" + others)),
              ElementsAre("runtime/src/base/a.h:1: A has 26 methods"));
  EXPECT_THAT(
      ClassesAreSmall({"bridge/src/a.h", "class A {\n  class B {\n" + Repeat("  void F();\n", 26) + "  };\n};\n"}),
      ElementsAre("bridge/src/a.h:1: A has 26 methods", "bridge/src/a.h:2: B has 26 methods"));
  EXPECT_THAT(ClassesAreSmall({"tests/a.h", with(Repeat("  void F();\n", 40)).text}), IsEmpty());
}

TEST(WordsAreAllowedTest, ReportsLeftOverNotes) {
  EXPECT_THAT(WordsAreAllowed({"README.md", "fine\nTODO: the rest\n"}), ElementsAre(StartsWith("README.md:2: 'TODO'")));
  for (const char* note : {"// FIXME", "# XXX", "/* HACK */"}) {
    EXPECT_THAT(WordsAreAllowed({"a.cc", note}), SizeIs(1)) << note;
  }
  EXPECT_THAT(WordsAreAllowed({"a.cc", "mkstemp(\"a.XXXXXX\");\n"}), IsEmpty());
}

TEST(WordsAreAllowedTest, ReportsCallsThatTheDesignRulesOut) {
  for (const char* call :
       {"sem_timedwait(&s, &t);", "f(CLOCK_REALTIME);", "shm_open(n, 0, 0);", "std::atomic_thread_fence(o);",
        "address.sun_path[0] = '\\0';", "address.sun_path[0] = 0;", "absl::Mutex mutex_;", "usleep(1);",
        "f(&a, PTHREAD_PROCESS_SHARED);", "pthread_mutexattr_setpshared(&a, 1);"}) {
    EXPECT_THAT(WordsAreAllowed({"a.cc", call}), SizeIs(1)) << call;
  }
}

TEST(WordsAreAllowedTest, ReportsLibcsSemaphoresInTheRuntime) {
  EXPECT_THAT(WordsAreAllowed({"runtime/src/base/a.cc", "sem_t s;\n::sem_post(&s);\n"}), SizeIs(2));
  EXPECT_THAT(WordsAreAllowed({"tests/bench/a.cc", "sem_t s;\n::sem_post(&s);\n"}), IsEmpty());
}

TEST(WordsAreAllowedTest, LetsCommentsAndDocumentsSpeakOfThem) {
  EXPECT_THAT(WordsAreAllowed({"a.cc", "f();  // not sem_timedwait, which counts on CLOCK_REALTIME\n/* shm_open\n */"}),
              IsEmpty());
  EXPECT_THAT(WordsAreAllowed({"a.cc", "const char* s = \"shm_open\";  // \"\n"}), IsEmpty());
  EXPECT_THAT(WordsAreAllowed({"README.md", "It needs no shm_open.\n"}), IsEmpty());
}

TEST(DescriptorsAreOwnedTest, ReportsBareOnes) {
  for (const char* line :
       {"const int fd = ::socket(1, 2, 3);", "int fd = base::Retry([&] { return ::open(\"x\", 0); });",
        "std::ifstream file(path);", "DIR* d = opendir(\".\");"}) {
    EXPECT_THAT(DescriptorsAreOwned({"runtime/src/base/a.cc", line}), SizeIs(1)) << line;
    EXPECT_THAT(DescriptorsAreOwned({"tests/unit/base/a_test.cc", line}), IsEmpty()) << line;
  }
  EXPECT_THAT(DescriptorsAreOwned({"runtime/src/base/a.cc", "Fd fd(::socket(1, 2, 3)); int flags = ::fcntl(fd, 1);"}),
              IsEmpty());
}

TEST(PathsAreOfTheProjectTest, ReportsPathsOfOneMachine) {
  for (const char* text : {"see /home/ann/notes", "cd /work/main/", "\"/root/x\"", "/Users/ann/x"}) {
    EXPECT_THAT(PathsAreOfTheProject({"a.md", text}), ElementsAre(HasSubstr("a path of one machine"))) << text;
  }
  EXPECT_THAT(PathsAreOfTheProject({"a.md", "/tmp/nearcall-0, /usr/include, $x/work/y, ${x}/work/y, a/root/b"}),
              IsEmpty());
}

TEST(UnitTestsMirrorSourcesTest, ReportsATestOfNothing) {
  const std::vector<SourceFile> files = {{"runtime/src/base/fd.h", ""},
                                         {"runtime/src/transport/shm/ring.cc", ""},
                                         {"tests/unit/base/fd_test.cc", ""},
                                         {"tests/unit/transport/ring_test.cc", ""},
                                         {"tests/unit/transport/shm/ring_test.cc", ""},
                                         {"tests/unit/wire/all_property_test.cc", ""},
                                         {"tests/unit/wire/fd_test.cc", ""}};
  EXPECT_THAT(UnitTestsMirrorSources(files),
              ElementsAre("tests/unit/wire/fd_test.cc:1: there is no wire/fd in runtime/src"));
}

TEST(TransportsAreFoldersTest, ReportsWhoNamesOne) {
  const auto problems_of = [](const char* path, const char* text) {
    return TransportsAreFolders({{"runtime/src/transport/smoke/smoke.h", "namespace smoke {"}, {path, text}});
  };
  for (const char* text :
       {"#include \"transport/smoke/smoke.h\"\n", "  return smoke::Offer();\n", "  if (name == \"smoke\") return;\n"}) {
    EXPECT_THAT(problems_of("runtime/src/rpc/server/door.cc", text), SizeIs(1)) << text;
    EXPECT_THAT(problems_of("runtime/src/transport/drum/drum.cc", text), SizeIs(1)) << text;
    EXPECT_THAT(problems_of("runtime/src/transport/smoke/fire.cc", text), IsEmpty()) << text;
    EXPECT_THAT(problems_of("runtime/src/transport/transport_table.cc", text), IsEmpty()) << text;
    EXPECT_THAT(problems_of("tests/conformance/harness.cc", text), IsEmpty()) << text;
  }
  EXPECT_THAT(problems_of("runtime/src/session/a.cc", "  int x;  // \"smoke\", as in smoke::Offer()\n"), IsEmpty());
  EXPECT_THAT(problems_of("runtime/src/session/a.cc", "#include \"transport/rendezvous/hello.h\"\n"), IsEmpty());
}

TEST(FilesNameTheLicenceTest, ReportsSourcesWithoutIt) {
  for (const char* path : {"a.cc", "a.h", "a.proto", "a.cmake", "a/CMakeLists.txt", "a.py"}) {
    EXPECT_THAT(FilesNameTheLicence({path, "x\n\n// SPDX-License-Identifier: Apache-2.0\n"}), SizeIs(1)) << path;
    EXPECT_THAT(FilesNameTheLicence({path, "// SPDX-License-Identifier: Apache-2.0\n"}), IsEmpty()) << path;
  }
  EXPECT_THAT(FilesNameTheLicence({"tool", "#!/bin/sh\n"}), SizeIs(1));
  EXPECT_THAT(FilesNameTheLicence({"tool", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"}), IsEmpty());
}

TEST(FilesNameTheLicenceTest, LetsOthersPass) {
  EXPECT_THAT(FilesNameTheLicence({"README.md", "x\n"}), IsEmpty());
  EXPECT_THAT(FilesNameTheLicence({"tests/golden/bad/a.proto", "x\n"}), IsEmpty());
}

TEST(ReadmeShowsHelloTest, ReportsAnyDifference) {
  std::vector<SourceFile> files = {{"README.md", "```proto\np\n```\n```cpp\ns\n```\n\n```cpp\nc\n```\n"},
                                   {"examples/hello/hello.proto", "p\n"},
                                   {"examples/hello/hello_server.cc", "s\n"},
                                   {"examples/hello/hello_client.cc", "c\n"}};
  EXPECT_THAT(ReadmeShowsHello(files), IsEmpty());
  files[1].text = "// SPDX-License-Identifier: Apache-2.0\n\np\n";
  EXPECT_THAT(ReadmeShowsHello(files), IsEmpty());
  files[2].text = "s;\n";
  EXPECT_THAT(ReadmeShowsHello(files), ElementsAre(HasSubstr("hello_server.cc")));
  files[2].text = Repeat("s\n", 40);
  EXPECT_THAT(ReadmeShowsHello(files), SizeIs(2));
  EXPECT_THAT(ReadmeShowsHello({}), SizeIs(1));
}

TEST(DocumentedErrorsExistTest, ReportsThoseThatTheRuntimeDoesNotSay) {
  std::vector<SourceFile> files = {{"docs/errors.md", "| text | code |\n|---|---|\n| `no x … \"y\"` | `code` |\n"},
                                   {"runtime/src/base/a.cc", "Fail(\"no \"\n     \"x\" + x + \"or \\\"y\\\"\");\n"}};
  EXPECT_THAT(DocumentedErrorsExist(files), IsEmpty());
  files[1].path = "tests/a.cc";
  EXPECT_THAT(DocumentedErrorsExist(files), SizeIs(2));
  EXPECT_THAT(DocumentedErrorsExist({}), SizeIs(1));
}

}  // namespace
}  // namespace nearcall::tidy
