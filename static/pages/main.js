/**
 * The page behind "this is not me" in a letter: says what a press does, and does it on a press alone.
 *
 * What names the check is in the address's fragment, which browsers send to nobody.
 *
 * @module
 */

const WORDS = {
  en: {
    title: 'This is not me',
    text: 'A private chat asked for a code for something that is kept under your e-mail address. If you did not ask for it, stop it here: the code becomes worthless and the conversation is frozen at once. Our colleagues are told.',
    press: 'Stop it: this is not me',
    busy: 'One moment…',
    already: 'Already stopped. The code is worthless and the conversation is frozen; you need do nothing else.',
    used: 'Stopped, but a code for your booking had already been used in this conversation: somebody may have seen or changed it. Please contact us now, so that we look at it with you. The conversation is frozen, and nobody from us will ask you for a code.',
    call: 'Questions? Call',
    callNow: 'Call us:',
    done: 'Stopped. The code is worthless now and the conversation is frozen. You need do nothing else, and nobody from us will ask you for a code.',
    failed: 'This link is not complete or names a check that is no longer kept. Open it again from the e-mail.',
    offline: 'The chat server was not reached. Try again in a moment.',
  },
  fr: {
    title: 'Ce n’est pas moi',
    text: 'Une conversation privée a demandé un code pour un dossier enregistré sous votre adresse e-mail. Si vous n’en êtes pas à l’origine, arrêtez-la ici : le code perd toute valeur et la conversation est aussitôt gelée. Nos collègues sont prévenus.',
    press: 'Arrêter : ce n’est pas moi',
    busy: 'Un instant…',
    already: 'Déjà arrêté. Le code n’a plus aucune valeur et la conversation est gelée ; vous n’avez rien d’autre à faire.',
    used: 'C’est arrêté, mais un code pour votre réservation avait déjà servi dans cette conversation : quelqu’un a pu la voir ou la modifier. Contactez-nous dès maintenant pour que nous la vérifiions avec vous. La conversation est gelée, et personne chez nous ne vous demandera de code.',
    call: 'Une question ? Appelez le',
    callNow: 'Appelez-nous :',
    done: 'C’est arrêté. Le code n’a plus aucune valeur et la conversation est gelée. Vous n’avez rien d’autre à faire, et personne chez nous ne vous demandera de code.',
    failed: 'Ce lien est incomplet ou désigne une vérification qui n’est plus conservée. Ouvrez-le de nouveau depuis le courriel.',
    offline: 'Le serveur n’a pas répondu. Réessayez dans un instant.',
  },
};

/** @type {{name?: string, phone?: string}} the company that wrote the letter */
const { name = '', phone = '' } = JSON.parse(document.getElementById('config')?.textContent || '{}');
const words = WORDS[document.documentElement.lang === 'fr' ? 'fr' : 'en'];

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} text
 * @returns {HTMLElementTagNameMap[T]}
 */
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

const main = document.createElement('main');
const says = element('p', '');
says.setAttribute('role', 'status');
const button = element('button', words.press);
button.type = 'button';
const call = element('p', '');
const invitation = element('span', `${words.call} `);
if (phone) {
  const link = element('a', phone);
  link.href = `tel:${phone.replace(/[^+\d]/g, '')}`;
  call.append(invitation, link);
}
const company = element('p', name);
company.className = 'company';
const lead = element('p', words.text);
main.append(company, element('h1', words.title), lead, button, says, call);
document.title = [words.title, name].filter(Boolean).join(' · ');
document.getElementById('app')?.replaceWith(main);

/**
 * The page remembers it, in its place of the history alone: who reloads it is told the same.
 * @param {string} sentence
 * @param {boolean} wasUsed the code had proven somebody before
 */
function stopped(sentence, wasUsed) {
  button.remove();
  lead.remove(); // there is nothing left to press
  says.textContent = wasUsed ? words.used : sentence;
  if (wasUsed) invitation.textContent = `${words.callNow} `;
}
if (history.state?.stopped) stopped(words.already, history.state.used);

button.addEventListener('click', async () => {
  button.disabled = true;
  says.textContent = words.busy;
  let sentence = words.offline;
  try {
    const answer = await fetch('/api/not-me', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: location.hash.slice(1) }),
    });
    sentence = answer.status === 404 || answer.status === 400 ? words.failed : words.offline;
    if (answer.ok) {
      const { used } = answer.status === 204 ? { used: false } : await answer.json(); // 204: a node of the version before
      history.replaceState({ stopped: true, used }, '');
      stopped(words.done, used);
      return;
    }
  } catch {
    sentence = words.offline; // no answer at all: the person may press again
  }
  button.disabled = false;
  says.textContent = sentence;
});
