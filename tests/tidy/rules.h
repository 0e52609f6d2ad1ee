// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "source_file.h"

// What a reviewer would otherwise have to watch for. Each rule returns what breaks it, as "path:line: what", best
// empty.
namespace nearcall::tidy {

using Problems = std::vector<std::string>;

// ---- one file ----

// Floors: base; wire and transport above it, side by side; session; rpc. The public headers include nothing of src/,
// and nothing outside the runtime includes its inner headers.
Problems IncludesGoDown(const SourceFile& file);

Problems HeadersHavePragmaOnce(const SourceFile& file);

Problems FilesAreShort(const SourceFile& file);
Problems FunctionsAreShort(const SourceFile& file);
Problems ClassesAreSmall(const SourceFile& file);
Problems LinesAreShort(const SourceFile& file);

// Left-over notes, and calls that the design rules out, each with what to do instead.
Problems WordsAreAllowed(const SourceFile& file);

// In the runtime a descriptor belongs to base::Fd from its birth on, which keeps it off the standard numbers.
Problems DescriptorsAreOwned(const SourceFile& file);

// No path of the machine on which the file was written.
Problems PathsAreOfTheProject(const SourceFile& file);

// One of the first lines names the licence. Not in what tests take as input or compare with; nor does generated code
// have one: it is its user's.
Problems FilesNameTheLicence(const SourceFile& file);

// ---- all files ----

// tests/unit/<floor>/x_test.cc tests a file x of that floor, x_property_test.cc what several files promise together.
Problems UnitTestsMirrorSources(const std::vector<SourceFile>& files);

// Of the runtime nothing but a transport's own folder, and its row in the table, names it: neither includes a header of
// that folder, nor says its namespace or its name.
Problems TransportsAreFolders(const std::vector<SourceFile>& files);

// The README shows each file of examples/hello as it is, but for the licence's line, and each is a page.
Problems ReadmeShowsHello(const std::vector<SourceFile>& files);

// The texts of errors in the first column of the tables of docs/errors.md stand in the runtime.
Problems DocumentedErrorsExist(const std::vector<SourceFile>& files);

}  // namespace nearcall::tidy
