// Loads the model in this folder and classifies the text that is entered.

const part = (id) => document.getElementById(id);
const percent = (score) => `${(100 * score).toFixed(1)} %`;

let classifier = null;
let task = null; // as in text_model.json

part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (classifier) classify();
});

part("text").addEventListener("keydown", (event) => {
  // In an input method, Enter picks a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  part("form").requestSubmit();
});

try {
  classifier = await load();
} catch (error) {
  part("loading").hidden = true;
  part("status").textContent = "No model.";
  complain(`The model could not be loaded: ${reason(error)}. Reload the page to try again.`);
}

async function load() {
  const about = await (await found("model.json")).json();
  task = about.task;
  const content = await download("model.tflite", about.bytes);
  part("status").textContent = "Starting the model …";
  part("loading").removeAttribute("value");
  const { FilesetResolver, TextClassifier } = await import("./mediapipe/text_bundle.mjs");
  const wasm = await FilesetResolver.forTextTasks("mediapipe/wasm");
  const options = { baseOptions: { modelAssetBuffer: content } };
  const loaded = await TextClassifier.createFromOptions(wasm, options);
  loaded.classify("a first text, which takes longer");
  part("loading").hidden = true;
  part("status").textContent =
    `Ready: ${task.labels.length} classes, ${megabytes(about.bytes)}. Text is cut after ` +
    `${about.tokens} tokens (words and parts of words).`;
  part("classify").disabled = false;
  return loaded;
}

function classify() {
  const text = part("text").value;
  if (!text.trim()) {
    part("answer").hidden = true;
    complain("There is no text: type a sentence.");
    part("text").setAttribute("aria-invalid", "true");
    part("text").focus();
    return;
  }
  part("problem").hidden = true;
  part("text").removeAttribute("aria-invalid");
  try {
    const start = performance.now();
    const result = classifier.classify(normalized(text));
    show(result.classifications[0].categories, performance.now() - start);
  } catch (error) {
    part("answer").hidden = true;
    complain(`The model failed: ${reason(error)}.`);
  }
}

// Normalizes text as the Python tokenizer does; MediaPipe does so only for ASCII. Separators become
// spaces; control, format and private-use characters and accents are removed. Characters are
// lower-cased one by one: of a whole word, a final sigma would become another letter.
function normalized(text) {
  const letters = text
    .replace(/[\t\n\r\p{Z}]/gu, " ")
    .replace(/[\p{Cc}\p{Cf}\p{Co}\uFFFD]/gu, "")
    .normalize("NFD")
    .replace(/\p{Mn}/gu, "");
  return Array.from(letters, (letter) => letter.toLowerCase()).join("");
}

function show(categories, milliseconds) {
  const [name, summary] = task.thresholds ? several(categories) : best(categories);
  part("class").textContent = name;
  part("summary").textContent = `${summary}, in ${milliseconds.toFixed(1)} ms`;
  part("scores").replaceChildren(...categories.map(row));
  part("answer").hidden = false;
}

function best([{ categoryName, score }]) {
  return [categoryName, percent(score)]; // MediaPipe sorts by score
}

// Multi-label: all labels whose score reaches their threshold.
function several(categories) {
  const predicted = categories.filter(
    ({ categoryName, score }) => score >= task.thresholds[task.labels.indexOf(categoryName)],
  );
  const names = predicted.map(({ categoryName }) => categoryName).join(", ");
  return [names || "No label", `${predicted.length} of ${task.labels.length} labels`];
}

function row({ categoryName, score }) {
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = categoryName;
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.setProperty("--share", score);
  const figure = document.createElement("data");
  figure.value = score;
  figure.textContent = percent(score);
  const cell = document.createElement("td");
  cell.append(bar, figure);
  const line = document.createElement("tr");
  line.append(name, cell);
  return line;
}

async function download(path, bytes) {
  part("status").textContent = `Loading the model, ${megabytes(bytes)} …`;
  const content = new Uint8Array(bytes);
  const reader = (await found(path)).body.getReader();
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (received + value.length > bytes) throw new Error(`${path} is not the file of model.json`);
    content.set(value, received);
    received += value.length;
    part("loading").value = received / bytes;
  }
  if (received < bytes) throw new Error(`${path} ends after ${received} of ${bytes} bytes`);
  return content;
}

async function found(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
  return response;
}

function complain(message) {
  part("problem").textContent = message;
  part("problem").hidden = false;
}

function reason(error) {
  return String(error?.message ?? error).replace(/[.\s]+$/, "");
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
