// Package suite runs tables of measurements that are written down as data.
//
// A suite is a file of YAML: tables, each with columns and rows, and for each row the
// commands of the program that yield its numbers. What a suite says:
//
//	title: …                     of the page
//	about: …                     a paragraph below it
//	data:                        what is measured on
//	  fashion: {is: "builtin:fashion-mnist"}
//	  mnist: {get: "where to get it"}       the user says where it is
//	vars: {epochs: 30}           words for $epochs in steps
//	seeds: 3                     runs of each row
//	quick:                       in their place, if it has to be quick
//	  vars: {epochs: 1}
//	  each: {net: [lenet5]}
//	tables:
//	  - name: sizes
//	    title: …
//	    each:                    rows are there for each of these
//	      - net: [lenet-300-100, lenet5]
//	      - data: [fashion, mnist]
//	    start:                   done once for all rows that have it alike; $start is its folder
//	      - train: --net $net --data $data --epochs $epochs --seed $seed -o $start/float.safetensors
//	    columns:
//	      - {name: bytes, title: bytes}
//	      - {name: error, title: "test error, %", digits: 2}
//	    charts:                  on a page of --report
//	      - {kind: curves, x: bytes, y: error, log_x: true}
//	    rows:
//	      - name: float
//	        what: floats, packed without loss
//	        steps:               commands of the program; $here is a folder of its own
//	          - pack: $start/float.safetensors -o $here/float.rope
//	          - eval: $start/float.safetensors --data $data
//	        values:              by column; 2.result.top1 is a field of the result of step 2
//	          bytes: 1.packed_bytes
//	          error: 100 - 100 * 2.result.top1
//
// Steps and values of a table stand for those of rows that have none. A step "measure"
// is not a command, but one of the measurements of this package: see [Measure].
//
// A suite may be one of strangers, so what it can ask for is bounded before it is made:
// variables in variables, the length of commands, combinations of each. Its name is that
// of its file, and values of each are words in names of rows: they have no slash, and none
// is there twice.
//
// What was measured is a line of JSON for each row and seed, with a digest of the line,
// so that a change by hand is noticed, and with digests of the commands of the row and of
// the data in them, so that a row that changes, or is asked for with other data, is
// measured again. Tables are made of these lines.
package suite
