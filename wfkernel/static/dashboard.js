var De=["failed","in_progress","canceled","completed"],yt={created:!1,duration:!1,status:!0,name:!0},Pe=Object.freeze({n:0,look:Object.freeze({names:[],statuses:[],text:"",sort:"created",desc:!0,page:0}),page:null,problem:null,isStale:!1,isAsking:!1,selected:new Set}),St=([t,r,n,i,f=null,l=null])=>({id:t,name:r,status:n,created:i,ended:f,note:l});function q(t,r={}){let n=r.page??(Object.keys(r).length?0:t.look.page);return{...t,n:t.n+1,look:{...t.look,...r,page:Math.max(0,n)},isAsking:!0,isStale:!1}}function Re(t,r){let n=t.look.sort===r?!t.look.desc:!yt[r];return q(t,{sort:r,desc:n})}function ke(t,r){return t.includes(r)?t.filter(n=>n!==r):[...t,r]}function _e(t,r){if(r.k==="news")return{...t,isStale:!0};if(r.k!=="page"||r.n!==t.n)return t;if(r.problem)return{...t,isAsking:!1,problem:r.problem};let n={...r,rows:r.rows.map(St)};return{...t,isAsking:!1,problem:null,page:n,look:{...t.look,page:r.page}}}function K(t,r,n){let i=new Set(t.selected);for(let f of r)n?i.add(f):i.delete(f);return{...t,selected:i}}function Ue(t,r){return K(t,r.filter(([,n,i])=>n||i==="gone already").map(([n])=>n),!1)}function se(t){return Math.max(1,Math.ceil(t.total/t.size))}function Be(t){let r=t.failed+t.completed;return r?t.failed/r:null}function le(t){if(t===null)return"";let r=t*100;return`${r===0||r===100?r:r<.1?"< 0.1":r.toFixed(r<10?1:0)} %`}function He(t){let r=[];for(let[n,i,f,l,p,m]of t){let s={ended:f,failed:l,p50:p,p95:m};i===null?r.push({name:n,...s,buckets:[]}):r.at(-1).buckets.push({bucket:i,...s})}return r}function Je(t,r,n,i){let f=Math.max(...t.map(s=>s.p95),1e-9),l=s=>r===0?n/2:s/r*n,p=s=>i-s/f*i,m=[];for(let s of t){let c=m.at(-1),h={x:l(s.bucket),p50:p(s.p50),p95:p(s.p95),bucket:s.bucket};c&&c.at(-1).bucket===s.bucket-1?c.push(h):m.push([h])}return{top:f,parts:m}}var $t=0,Ke=()=>`wf-f${++$t}`;function o(t,r={},...n){let[i,...f]=t.split("."),l=document.createElement(i||"div");f.length&&(l.className=f.map(p=>`wf-${p}`).join(" "));for(let[p,m]of Object.entries(r))m==null||m===!1||(p.startsWith("on")?l.addEventListener(p.slice(2),m):p==="value"||p==="checked"||p==="disabled"?l[p]=m:l.setAttribute(p,m===!0?"":m));return l.append(...n.flat().filter(p=>p!=null&&p!==!1)),l}var z=void 0;function ye(t,{label:r=null,root:n=!1}={}){return($e[t.kind]??$e.json)(t,r??t.title??"",n)}function U(t,r,n,i,f={}){let l=Ke();n.id=l;let p=o("p.error",{id:`${l}-e`,hidden:!0}),m=t.help?o("p.help",{id:`${l}-h`},t.help):null,s=b=>{n.setAttribute("aria-invalid",String(b)),n.setAttribute("aria-describedby",[m&&`${l}-h`,b&&`${l}-e`].filter(Boolean).join(" "))},c=t.required?o("span.star",{"aria-hidden":"true"}," *"):null;t.required&&n.type!=="checkbox"&&n.setAttribute("aria-required","true");let h=r?o("label.label",{for:l},r,c):null;r||n.setAttribute("aria-label",t.title||"Value");let g=f.inline?o("div.field.check",{},n,h,m,p):o("div.field",{},h,o("div.input",{},n,m,p)),k=()=>(p.hidden=!0,g.dataset.wrong="false",s(!1));return s(!1),n.addEventListener("input",k),{el:g,read:i,clear:k,focus:()=>n.focus(),mark:(b,y)=>(p.textContent=y,p.hidden=!1,g.dataset.wrong="true",s(!0),n)}}var Ve=t=>t==null?"":String(t),Se=t=>t.nullable&&!("default"in t&&t.default!==null)?null:z;function _(t,r=()=>({}),n=i=>i){return(i,f)=>{let l=o("input.text",{type:t,value:Ve(i.default),placeholder:i.nullable?"none":i.example,autocomplete:"off",...r(i)});return U(i,f,l,()=>l.value===""?t==="text"&&!i.nullable?i.required?"":z:Se(i):n(l.value))}}function Ye(t){let r=Number(t);return Number.isNaN(r)||Number.isInteger(r)&&!Number.isSafeInteger(r)?t:r}var de=t=>String(t).padStart(2,"0");function Et(t){let r=new Date(t??"");return Number.isNaN(r.getTime())?"":`${r.getFullYear()}-${de(r.getMonth()+1)}-${de(r.getDate())}T${de(r.getHours())}:${de(r.getMinutes())}`}var $e={bool(t,r,n){if(t.nullable||n||t.required&&!("default"in t))return $e.choice({...t,options:[{label:"Yes",value:!0},{label:"No",value:!1}]},r);let i=o("input.checkbox",{type:"checkbox",checked:t.default===!0});return U(t,r||"Yes",i,()=>i.checked,{inline:!0})},choice(t,r){let n=t.options.length<=5&&t.options.every(s=>s.label.length<=24),i=t.nullable?[...t.options,{label:"none",value:null}]:t.options,f=s=>"default"in t&&JSON.stringify(s.value)===JSON.stringify(t.default);if(!n){let s=o("select.text",{},o("option",{value:""},"choose …"),i.map((c,h)=>o("option",{value:String(h),selected:f(c)},c.label)));return U(t,r,s,()=>s.value===""?z:i[Number(s.value)].value)}let l=Ke(),p=o("div.choices",{role:"radiogroup",tabindex:"-1"});i.forEach((s,c)=>p.append(o("label.choice",{},o("input",{type:"radio",name:l,value:String(c),checked:f(s)}),o("span",{},s.label))));let m=U(t,r,p,()=>{let s=p.querySelector("input:checked");return s?i[Number(s.value)].value:z});return p.setAttribute("aria-label",r||t.title||"Value"),m.focus=()=>(p.querySelector("input:checked")??p.querySelector("input")).focus(),m},int:_("number",t=>({min:t.min,max:t.max,step:t.step??1,inputmode:"numeric"}),Ye),number:_("number",t=>({min:t.min,max:t.max,step:t.step??"any",inputmode:"decimal"}),Ye),date:_("date"),time:_("time",()=>({step:1})),datetime:_("datetime-local",t=>({value:Et(t.default)}),t=>new Date(t).toISOString()),text(t,r,n){if(!t.multiline)return _(t.secret?"password":"text")(t,r,n);let i=o("textarea.text",{rows:3,value:Ve(t.default)});return U(t,r,i,()=>i.value===""?t.nullable?null:t.required?"":z:i.value)},const:t=>({el:o("div.field",{},t.title?o("span.label",{},t.title):null,o("code",{},JSON.stringify(t.value))),read:()=>t.value,clear(){},focus(){},mark:()=>null}),kept:(t,r)=>({el:o("div.field",{},o("span.label",{},r),o("div.input",{},o("code.kept",{},t.text),o("p.help",{},"kept as it is"))),read:()=>z,clear(){},focus(){},mark:()=>null}),json(t,r){let n=o("textarea.text.code",{rows:2,spellcheck:"false",placeholder:"JSON",value:"default"in t&&t.default!==null?JSON.stringify(t.default):""}),i=U(t,r,n,()=>{if(n.value.trim()==="")return t.required?z:Se(t);try{return JSON.parse(n.value)}catch(f){throw Object.assign(new Error(`This is no JSON: ${f.message}`),{field:i})}});return i},object(t,r,n){let i=t.default??{},f=new Map(t.fields.map(s=>[s.name,ye(s.name in i?{...s,default:i[s.name]}:s)])),l=!n&&r?o("legend.legend",{},r):null,p=o("p.error",{hidden:!0}),m=o(n?"div.object":"fieldset.object.nested",{},l,t.help&&!n?o("p.help",{},t.help):null,[...f.values()].map(s=>s.el),p);return{el:m,read(){let s={};for(let[c,h]of f){let g=h.read();g!==z&&(s[c]=g)}return s},clear:()=>(p.hidden=!0,f.forEach(s=>s.clear())),focus:()=>f.values().next().value?.focus(),mark(s,c){let h=s.findIndex(g=>f.has(g));return h>=0?f.get(s[h]).mark(s.slice(h+1),c):(p.textContent=c,p.hidden=!1,m)}}},list(t,r){let n=[],i=o("div.items"),f=o("p.error",{hidden:!0}),l=s=>{let c=ye({...t.item,required:!0,...s===void 0?{}:{default:s}},{label:""}),h=o("div.item",{},c.el,o("button.icon",{type:"button",title:"Remove","aria-label":"Remove this item",onclick:()=>{n.splice(n.findIndex(g=>g.item===c),1),h.remove()}},"×"));return n.push({item:c,row:h}),i.append(h),c};for(let s of Array.isArray(t.default)?t.default:[])l(s);for(let s=n.length;s<(t.min??0);s++)l();let p=o("button.quiet",{type:"button",onclick:()=>l().focus()},"+ Add"),m=o("fieldset.object.nested",{},o("legend.legend",{},r||t.title||"Items"),t.help?o("p.help",{},t.help):null,i,p,f);return{el:m,read:()=>n.length===0&&!t.required&&!("default"in t&&t.default?.length)?Se(t)??z:n.map(({item:s})=>s.read()??null),clear:()=>(f.hidden=!0,n.forEach(({item:s})=>s.clear())),focus:()=>p.focus(),mark(s,c){let h=s.findIndex(g=>typeof g=="number"&&n[g]);return h>=0?n[s[h]].item.mark(s.slice(h+1),c):(f.textContent=c,f.hidden=!1,m)}}},union(t,r){let n=t.variants.map(s=>ye({...s,required:t.required},{label:""})),i=0,f=o("div.variant",{},n[0].el),l=o("select.text",{"aria-label":`${r||"Value"}: kind`,onchange:()=>{i=Number(l.value),f.replaceChildren(n[i].el)}},t.variants.map((s,c)=>o("option",{value:String(c)},s.title||s.kind))),p=o("p.error",{hidden:!0});return{el:o("div.field.union",{},r?o("span.label",{},r,t.required?o("span.star",{"aria-hidden":"true"}," *"):null):null,o("div.input",{},l,f,p)),read:()=>n[i].read(),clear:()=>(p.hidden=!0,n.forEach(s=>s.clear())),focus:()=>l.focus(),mark:(s,c)=>n[i].mark(s,c)}}};var At=["scheduled","running","success","failed","canceled"],[Jt,Yt,Kt,Vt,Wt]=At.keys();var Gt=Object.freeze({seq:-1,isLoaded:!1,now:0,run:{},path:[],names:[],steps:[],live:new Map,counts:[0,0,0,0,0],waiting:[],last:0});function O(t){if(t==null||Number.isNaN(t))return"";let r=Math.max(0,t)/1e3;if(r<.0995)return`${Math.round(r*1e4)/10} ms`;if(r<10)return`${r.toFixed(2)} s`;if(r<60)return`${r.toFixed(1)} s`;let n=i=>String(Math.floor(i)).padStart(2,"0");return r<3600?`${Math.floor(r/60)} m ${n(r%60)} s`:r<86400?`${Math.floor(r/3600)} h ${n(r%3600/60)} m`:`${Math.floor(r/86400)} d ${Math.floor(r%86400/3600)} h`}var B=220,ce=30,Ct="http://www.w3.org/2000/svg";function W(t){let r=new Date(t),n=i=>String(i).padStart(2,"0");return`${r.getFullYear()}-${n(r.getMonth()+1)}-${n(r.getDate())} ${n(r.getHours())}:${n(r.getMinutes())}:${n(r.getSeconds())}`}var Ot=["Ended","Failed","p50","p95"],We=t=>o("thead",{},o("tr",{},t.map(r=>o(Ot.includes(r)?"th.right":"th",{scope:"col"},r))));function Ge(t){let r=o("select.text",{"aria-label":"Workflow",onchange:()=>t(r.value)}),n=o("p.help"),i=o("div.steps-table",{tabindex:"0",role:"region","aria-label":"Durations of steps"}),f=o("section.steps",{hidden:!0,"aria-label":"Durations of steps over time"},o("div.steps-head",{},o("strong",{},"How long steps took"),r,n),i),l=null,p=!1;function m(h,g){if(l=h,document.activeElement!==r&&r.replaceChildren(...g.map($=>o("option",{value:$},$))),r.value=l.name,l.problem)return i.replaceChildren(o("p.error",{},l.problem));let k=He(l.times);if(!k.length)return n.textContent="",i.replaceChildren(o("p.help",{},`No step of ${l.name} has ended yet`));let b=Math.max(...k.flatMap($=>$.buckets.map(G=>G.bucket)));n.replaceChildren(o("i.key50",{"aria-hidden":"true"})," median (p50) ",o("i.key95",{"aria-hidden":"true"}),` 95 of 100 took less (p95) · from ${W(l.start)}, ${O(l.width)} a point`);let y=k.map($=>o("tr",{},o("th.cut",{scope:"row",title:$.name},$.name),o("td.right",{},$.ended.toLocaleString("en")),o("td.right",{title:le($.failed/$.ended)},$.failed.toLocaleString("en")),o("td.right",{},O($.p50)),o("td.right",{},O($.p95)),o("td",{},c($,b)))),C=l.left_out?o("p.help",{},`and ${l.left_out.toLocaleString("en")} more steps`):null,E=o("table.grid",{},We(["Step","Ended","Failed","p50","p95","Over time"]),o("tbody",{},y)),S=o("details",{open:p,ontoggle:()=>(p=S.open,M())},o("summary",{},"Numbers over time")),M=()=>S.open&&S.children.length===1&&S.append(s(k));i.replaceChildren(...[E,C,S].filter(Boolean)),M()}function s(h){let g=h.flatMap(k=>k.buckets.map(b=>o("tr",{},o("th",{scope:"row"},k.name),o("td",{},W(l.start+b.bucket*l.width)),...[b.ended,b.failed].map(y=>o("td.right",{},y.toLocaleString("en"))),...[b.p50,b.p95].map(y=>o("td.right",{},O(y))))));return o("table.grid",{},We(["Step","From","Ended","Failed","p50","p95"]),o("tbody",{},g))}return{el:f,show:m,get name(){return l?.name??null}};function c(h,g){let k=`${h.name}: p50 ${O(h.p50)}, p95 ${O(h.p95)}; the numbers over time are in the table below`,b=V("svg",{class:"wf-chart",viewBox:`-3 -3 ${B+6} ${ce+6}`,width:B,height:ce+6,role:"img","aria-label":k}),{parts:y}=Je(h.buckets,g,B,ce);for(let E of y)for(let S of["p95","p50"])E.length===1?b.append(V("circle",{class:`wf-dot-${S}`,cx:E[0].x.toFixed(1),cy:E[0][S].toFixed(1),r:S==="p50"?2.2:1.8})):b.append(V("polyline",{class:`wf-line-${S}`,points:E.map(M=>`${M.x.toFixed(1)},${M[S].toFixed(1)}`).join(" ")}));let C=g===0?B:B/g;for(let E of h.buckets){let S=g===0?0:E.bucket/g*B-C/2,M=`${W(l.start+E.bucket*l.width)}: p50 ${O(E.p50)}, p95 ${O(E.p95)}, ${E.ended} ended${E.failed?`, ${E.failed} failed`:""}`;b.append(V("rect",{class:"wf-spot",x:S.toFixed(1),y:-3,width:C.toFixed(1),height:ce+6},V("title",{},M)))}return b}}function V(t,r,...n){let i=document.createElementNS(Ct,t);for(let[f,l]of Object.entries(r))i.setAttribute(f,String(l));return i.append(...n),i}var Qe={in_progress:"in progress",completed:"completed",failed:"failed",canceled:"canceled"},Xe={in_progress:"▸",completed:"✓",failed:"✕",canceled:"–"},Mt=[["status","Status"],[null,"Run"],["name","Workflow"],["created","Started"],["duration","Took"],[null,"Note"]],Nt=250,Ee=1e4,Tt=5e3,jt=10,qt=100,Ze={cancel:{text:"Cancel",ask:t=>`Cancel ${t} and their children? Steps that run are stopped.`,yes:t=>`Cancel ${t}`,no:"Keep them running"},restart:{text:"Restart"},cleanup:{text:"Clean up",ask:t=>`Delete ${t} from the journal, with their steps, events and children? This cannot be undone.`,yes:t=>`Delete ${t}`,no:"Keep them"}},zt=0;function et(t,{embed:r}){let n=Pe,i=0,f=!0,l=0,p=0,m=!1,s=null,c={isOpen:!1,name:null,n:0,askedAt:0,nextAt:0,timer:0},h=Math.random().toString(36).slice(2,10),g=new Map,k=new Map,b=new Map,y=e=>e.toLocaleString("en"),C=e=>`${y(e)} ${e===1?"run":"runs"}`,E=()=>performance.now()+i,S=(e,a,d,u="button",w={})=>o(u,{type:"button",title:a,onclick:d,...w},e),M=o("code.id",{title:"The journal"}),$=o("span.told"),G=S("Step durations","How long the steps of a workflow took, over time",()=>bt(),"button",{"aria-expanded":"false"}),Q=o("div.counts",{role:"group","aria-label":"Show only runs that are"}),X=S("","Show only runs of some workflows",()=>pt(),"button.chip",{"aria-expanded":"false"}),L=o("div.names",{hidden:!0,role:"group","aria-label":"Show only runs of"}),fe=o("input.search",{type:"search",placeholder:"Find id, name, error","aria-label":"Show only runs whose id, workflow or error contains",oninput:()=>ze(Nt)}),Ae=o("span.chosen",{"aria-live":"polite"}),pe=Object.entries(Ze).map(([e,{text:a}])=>S(a,`${a} the selected runs`,()=>ut(e),"button",{"data-cmd":e})),Ce=S("Clear","Select no run",()=>(R(K(n,[...n.selected],!1)),T.focus()),"button.quiet"),I=o("div.ask",{hidden:!0}),H=o("div.results",{hidden:!0}),T=o("input",{type:"checkbox","aria-label":"Select all runs of this page",onchange:()=>R(K(n,re(),T.checked))}),Oe=Mt.map(([e,a])=>o(e==="duration"?"th.right":"th",{scope:"col","data-sort":e},e?S(a,`Sort by ${a.toLowerCase()}`,()=>F(Re(n,e)),"button.sort"):a)),J=o("tbody"),Me=o("table.grid.runs",{"aria-label":"Runs"},o("thead",{},o("tr",{},o("th.tick",{scope:"col"},T),Oe)),J),ue=o("p.empty-list",{hidden:!0}),Ne=o("span.range",{"aria-live":"polite"}),Z=(e,a,d)=>S(e,a,()=>F(q(n,{page:d(n.look.page)})),"button.icon",{"aria-label":a}),Te=Z("⇤","First page",()=>0),we=Z("←","Previous page (Page Up)",e=>e-1),he=Z("→","Next page (Page Down)",e=>e+1),je=Z("⇥","Last page",()=>se(n.page)-1),D=o("input.text.page-number",{type:"number",min:"1","aria-label":"Page",onchange:()=>rt(Number(D.value))}),qe=o("span.pages"),me=o("nav.pager",{"aria-label":"Pages"},Ne,o("span.grow"),Te,we,D,qe,he,je),ee=Ge(e=>xe(e)),te=o("section.opened",{hidden:!0,"aria-label":"Opened runs"}),ne=o("div.live",{role:"status","aria-live":"polite"}),P=o("article.card.dashboard",{"aria-label":"All runs","data-view":h},o("header.header",{},o("div.title",{},o("strong.name",{},"Runs"),M,$),o("div.actions",{},G)),o("div.tools",{},Q,X,o("span.grow"),fe),L,ee.el,o("div.bulk",{role:"group","aria-label":"With the selected runs"},Ae,pe,Ce),I,H,o("div.scroll",{},Me,ue),me,ne,te);function F(e){R(e),t({k:"look",view:h,n:n.n,look:n.look}),clearTimeout(p),p=setTimeout(()=>{m=!0,be()},Ee)}function oe(){n.isStale&&!n.isAsking&&f&&!document.hidden&&F(q(n))}function ze(e){clearTimeout(l),l=setTimeout(()=>{let a=fe.value.trim();a!==n.look.text&&F(q(n,{text:a}))},e)}fe.addEventListener("keydown",e=>e.key==="Enter"&&ze(0));function rt(e){!n.page||!Number.isFinite(e)||F(q(n,{page:Math.min(se(n.page),Math.max(1,Math.round(e)))-1}))}function at(e){if(e.k==="ack"||e.k==="progress")return e.k==="ack"?ht(e):wt(e);if(e.view!==h)return;if(e.k==="opened")return gt(e);if(e.k==="steps")return vt(e);let a=_e(n,e);if(a===n)return;let d=e.k==="page";d&&!e.problem&&(i=e.now-performance.now()),d&&clearTimeout(p),d&&e.problem?j(e.problem,"bad"):d&&m&&j(""),d&&(m=!!e.problem),R(a),d&&c.isOpen&&xt(),oe()}function R(e){let a=n;n=e,n.page&&n.page!==a.page&&(it(),st()),n.page&&(n.page!==a.page||n.look!==a.look)&&(Le(),ct()),(n.selected!==a.selected||n.page!==a.page)&&ae(),P.dataset.asking=String(n.isAsking),P.dataset.n=n.page?.n??""}function it(){let{counts:e,path:a}=n.page;M.textContent=a;let d=Be(e);$.textContent=d===null?"":`${le(d)} failed`,$.title=`Of ${y(e.failed+e.completed)} that completed or failed, ${y(e.failed)} failed; canceled ones are not counted`;for(let w of De){let x=[...Q.children].find(v=>v.dataset.state===w);x||(x=o("button.chip",{type:"button","data-state":w,onclick:()=>F(q(n,{statuses:ke(n.look.statuses,w)}))},o("span.state-sign",{"aria-hidden":"true"},Xe[w]),o("b"),` ${Qe[w]}`),Q.append(x)),A(x.querySelector("b"),y(e[w]))}let u=new Map([...L.children].map(w=>[w.dataset.name,w]));for(let[w,x]of n.page.names){let v=u.get(w);u.delete(w),v||(v=o("button.chip",{type:"button","data-name":w,onclick:()=>F(q(n,{names:ke(n.look.names,w)}))},o("b"),` ${w}`),L.append(v)),A(v.querySelector("b"),y(x))}for(let w of u.values())w.remove()}function Le(){let{look:e}=n;for(let a of Q.children)a.setAttribute("aria-pressed",String(e.statuses.includes(a.dataset.state)));for(let a of L.children)a.setAttribute("aria-pressed",String(e.names.includes(a.dataset.name)));A(X,`${e.names.length===0?"All workflows":e.names.length===1?e.names[0]:`${e.names.length} workflows`} ${L.hidden?"▾":"▴"}`),X.dataset.some=String(e.names.length>0);for(let a of Oe){if(!a.dataset.sort)continue;let d=a.dataset.sort===e.sort;a.setAttribute("aria-sort",d?e.desc?"descending":"ascending":"none")}}function st(){let e=P.contains(document.activeElement)?document.activeElement:null,a=re();for(let[v,N]of k)a.includes(v)||(N.tr.remove(),k.delete(v));for(let v of n.page.rows)k.has(v.id)||k.set(v.id,lt(v.id)),dt(k.get(v.id),v);let d=a.map(v=>k.get(v).tr);d.some((v,N)=>v!==J.children[N])&&J.replaceChildren(...d),e&&e!==document.activeElement&&(e.isConnected?e:T).focus();let{look:u,page:w}=n,x=u.text||u.names.length||u.statuses.length;ue.hidden=w.rows.length>0,ue.textContent=x?"No run is like that":"There are no runs yet"}function lt(e){let a=o("input",{type:"checkbox","aria-label":`Select run ${e}`,onclick:N=>ft(e,N)}),d=o("span.state-sign",{"aria-hidden":"true"}),u=o("span"),w=o("button.link",{type:"button",title:"Open its card","aria-expanded":String(b.has(e)),onclick:()=>b.has(e)?Y(e):mt(e)},e),x={tick:a,sign:d,word:u,open:w,name:o("td.cut"),created:o("time"),took:o("td.right"),note:o("td.cut.note")},v=o("td.state",{},d," ",u);return x.tr=o("tr",{"data-run":e},o("td.tick",{},a),v,o("th",{scope:"row"},w),x.name,o("td",{},x.created),x.took,x.note),x}function dt(e,a){e.run=a,e.tr.dataset.state=a.status,A(e.sign,Xe[a.status]),A(e.word,Qe[a.status]),A(e.name,a.name),A(e.created,W(a.created)),e.created.setAttribute("datetime",new Date(a.created).toISOString()),A(e.note,a.note??""),e.name.title=a.name,e.note.title=a.note??"",Ie(e)}function Ie({run:e,took:a}){if(e.ended!==null)return A(a,O(e.ended-e.created));let d=Math.max(0,Math.floor((E()-e.created)/1e3));A(a,d<60?`${d} s`:O(d*1e3))}let A=(e,a)=>e.textContent!==a&&(e.textContent=a),re=()=>n.page?.rows.map(e=>e.id)??[];function ct(){let{page:e}=n,a=e.page*e.size,d=se(e)-1;A(Ne,e.total?`${y(a+1)}–${y(a+e.rows.length)} of ${C(e.total)}`:"no runs"),A(qe,`of ${y(d+1)}`),document.activeElement!==D&&(D.value=String(e.page+1)),D.max=String(d+1);let u=document.activeElement;Te.disabled=we.disabled=n.look.page<=0,he.disabled=je.disabled=n.look.page>=d,u?.disabled&&me.contains(u)&&D.focus(),me.hidden=e.total<=e.size}function ae(){let e=re(),a=e.filter(w=>n.selected.has(w)).length;T.checked=e.length>0&&a===e.length,T.indeterminate=a>0&&a<e.length;for(let[w,x]of k)x.tick.checked=n.selected.has(w),x.tr.dataset.selected=String(x.tick.checked);let d=n.selected.size,u=d-a;A(Ae,d?`${C(d)} selected${u?` (${y(u)} on other pages)`:""}`:"No run selected");for(let w of pe)w.disabled=d===0||g.size>0;Ce.hidden=d===0,d===0&&ge()}function ft(e,a){let d=re(),[u,w]=[d.indexOf(s),d.indexOf(e)],x=a.shiftKey&&u>=0?d.slice(Math.min(u,w),Math.max(u,w)+1):[e];s=e,R(K(n,x,k.get(e).tick.checked))}function pt(){L.hidden=!L.hidden,X.setAttribute("aria-expanded",String(!L.hidden)),n.page&&Le()}function ut(e){let a=[...n.selected],d=pe.find(ie=>ie.dataset.cmd===e),{ask:u,yes:w,no:x}=Ze[e];if(!u)return Fe(e,a,d);let v=()=>(ge(),d.focus()),N=o("button",{type:"button",onclick:v},x),ve=o("button.danger",{type:"button",onclick:()=>(ge(),Fe(e,a,d))},w(C(a.length)));I.replaceChildren(o("span",{},u(C(a.length))),ve,N),I.onkeydown=ie=>ie.key==="Escape"&&(ie.stopPropagation(),v()),I.setAttribute("role","alertdialog"),I.setAttribute("aria-label",u(C(a.length))),I.hidden=!1,N.focus()}let ge=()=>(I.hidden=!0,I.replaceChildren());function Fe(e,a,d){let u=`${h}-${++zt}`;g.set(u,{timer:setTimeout(be,Ee),from:d}),H.hidden=!0,j("…"),ae(),t({k:"cmd",id:u,cmd:e,runs:a})}let be=()=>j("The kernel has not answered yet; it may be busy","bad");function wt(e){let a=g.get(e.id);a&&(clearTimeout(a.timer),a.timer=setTimeout(be,Ee*4),j(`${y(e.done)} of ${C(e.total)} …`))}function ht(e){let a=g.get(e.id);if(!a)return;g.delete(e.id),clearTimeout(a.timer),j(e.msg??"",e.ok?"good":"bad"),ne.dataset.ack=e.id;let d=e.results??[],u=d.filter(([,w])=>!w);if(H.hidden=u.length===0,u.length){let w=u.slice(0,qt).map(([N,,ve])=>o("li",{},o("code",{},N),` ${ve}`)),x=u.length-w.length;x>0&&w.push(o("li",{},`and ${y(x)} more`));let v=o("button.icon",{type:"button","aria-label":"Close",title:"Close",onclick:()=>(H.hidden=!0,T.focus())},"×");H.replaceChildren(o("details",{},o("summary",{},`${C(u.length)} not done`),o("ul",{},w)),v)}R(Ue(n,d)),ae(),a.from.disabled?T.focus():a.from.focus()}function j(e,a=""){ne.textContent=e,ne.dataset.tone=a}function mt(e){let a=o("div"),d=o("button.icon",{type:"button","aria-label":`Close the card of run ${e}`,title:"Close",onclick:()=>Y(e)},"×"),u=o("div.box",{"data-run":e},d,a);b.set(e,{box:u,place:a,close:d,take:null}),te.prepend(u),te.hidden=!1,k.get(e)?.open.setAttribute("aria-expanded","true"),t({k:"open",view:h,run:e})}async function gt(e){let a=b.get(e.run);if(!(!a||a.take)){if(e.problem)return j(e.problem,"bad"),Y(e.run);try{let d=await r(e.card,a.place);if(b.get(e.run)!==a)return d();a.take=d,requestAnimationFrame(()=>a.box.scrollIntoView?.({block:"nearest"})),j(`The card of run ${e.run} is open below`)}catch(d){console.warn("wfkernel: no card can be put into the dashboard here",d),Y(e.run),t({k:"open",view:h,run:e.run,below:!0}),j(`The card of run ${e.run} is shown below the cell`)}}}function Y(e){let a=b.get(e);if(!a)return;let d=a.box.contains(document.activeElement);a.take?.(),a.box.remove(),b.delete(e),te.hidden=b.size===0;let u=k.get(e)?.open;u?.setAttribute("aria-expanded","false"),d&&(u??T).focus()}function bt(){c.isOpen=ee.el.hidden,ee.el.hidden=!c.isOpen,G.setAttribute("aria-expanded",String(c.isOpen)),c.isOpen&&xe()}function xe(e=c.name){let d=(n.page?.names??[]).reduce((u,w)=>w[1]>(u?.[1]??0)?w:u,null);c.name=e??n.look.names[0]??d?.[0]??null,c.name!==null&&(c.askedAt=performance.now(),c.nextAt=1/0,t({k:"steps",view:h,n:++c.n,name:c.name}))}function xt(){c.timer||c.nextAt===1/0||(c.timer=setTimeout(()=>{c.timer=0,c.isOpen&&xe()},Math.max(0,c.nextAt-performance.now())))}function vt(e){if(e.n!==c.n)return;let a=performance.now();c.nextAt=a+Math.max(Tt,jt*(a-c.askedAt)),ee.show(e,(n.page?.names??[]).map(([d])=>d))}Me.addEventListener("keydown",e=>{if(e.ctrlKey||e.metaKey||e.altKey)return;let a=e.target.closest?.("tbody tr"),d={ArrowDown:1,ArrowUp:-1}[e.key];if(a&&d)J.children[[...J.children].indexOf(a)+d]?.querySelector(e.target.type==="checkbox"?"input":".wf-link").focus(),e.preventDefault();else if(e.key==="PageDown"||e.key==="PageUp"){let u=e.key==="PageDown"?he:we;u.disabled||u.click(),e.preventDefault()}else return;e.stopPropagation()}),P.addEventListener("keydown",e=>e.target.matches?.("input, textarea, select, button, [contenteditable]")&&e.stopPropagation()),P.dataset.lmSuppressShortcuts="true";let kt=setInterval(()=>{if(!(document.hidden||!f))for(let e of k.values())e.run.ended===null&&Ie(e)},1e3);return document.addEventListener("visibilitychange",oe),ae(),{el:P,receive:at,hello:()=>F(q(n)),see:e=>(f=e,oe()),retheme(){},invalidate(){},stop(){clearInterval(kt);for(let e of[l,p,c.timer])clearTimeout(e);for(let{timer:e}of g.values())clearTimeout(e);document.removeEventListener("visibilitychange",oe);for(let e of[...b.keys()])Y(e);t({k:"bye",view:h})},get state(){return n}}}var tt=`/* What the dashboard has beside a card; the colours and buttons are those of style.css. */
.wf-dashboard { max-width: none; }
.wf-dashboard .wf-told { color: var(--wf-faint); }
.wf-dashboard .wf-search { width: 190px; }
.wf-state-sign { display: inline-block; width: 12px; font-weight: 700; text-align: center; }
:is([data-state="completed"], .wf-chip[data-state="completed"]) .wf-state-sign { color: var(--wf-good); }
:is([data-state="failed"], .wf-chip[data-state="failed"]) .wf-state-sign { color: var(--wf-bad); }
:is([data-state="in_progress"], .wf-chip[data-state="in_progress"]) .wf-state-sign { color: var(--wf-accent); }
.wf-chip .wf-state-sign { margin-right: 4px; }
.wf-card button.wf-chip[data-some="true"] { border-color: var(--wf-accent); color: var(--wf-ink); }
.wf-names { display: flex; flex-wrap: wrap; gap: 4px; padding: 2px 12px 8px; max-height: 128px; overflow-y: auto; }
.wf-bulk { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; padding: 4px 12px 6px; border-bottom: 1px solid var(--wf-line); }
.wf-chosen { color: var(--wf-faint); min-width: 9em; margin-right: 4px; }
.wf-results { display: flex; align-items: start; padding: 6px 8px 6px 12px; border-bottom: 1px solid var(--wf-line); }
.wf-results details { flex: 1; min-width: 0; }
.wf-results ul { margin: 4px 0 0; padding-left: 18px; max-height: 140px; overflow-y: auto; }
.wf-results summary { cursor: pointer; }
.wf-scroll { overflow: auto; max-height: 480px; position: relative; }
.wf-card table.wf-grid { border-collapse: separate; border-spacing: 0; border: 0; margin: 0; width: 100%; font-size: 13px; table-layout: auto; color: inherit; background: none; }
.wf-card .wf-grid tr { background: none; }
.wf-card .wf-grid :is(th, td) { text-align: left; vertical-align: middle; padding: 2px 10px; border: 0; border-bottom: 1px solid var(--wf-line); font-weight: 400; white-space: nowrap; max-width: none; line-height: 20px; }
.wf-card .wf-grid thead th { position: sticky; top: 0; z-index: 1; background: var(--wf-raised); color: var(--wf-faint); font-weight: 600; font-size: 12px; }
.wf-card .wf-grid tbody tr:hover:not([data-selected="true"]) { background: color-mix(in srgb, var(--wf-ink) 4%, transparent); }
.wf-card .wf-grid tr[data-selected="true"] { background: color-mix(in srgb, var(--wf-accent) 10%, transparent); }
.wf-card .wf-grid :is(th, td).wf-right { text-align: right; }
.wf-card .wf-grid :is(th, td).wf-tick { width: 32px; padding: 2px 4px 2px 12px; }
.wf-grid input[type="checkbox"] { margin: 0; vertical-align: -2px; accent-color: var(--wf-accent); }
.wf-card .wf-grid .wf-cut { overflow: hidden; text-overflow: ellipsis; max-width: 220px; }
.wf-card .wf-grid .wf-note { max-width: 380px; width: 40%; color: var(--wf-faint); }
.wf-card .wf-grid tr[data-state="failed"] .wf-note { color: var(--wf-bad); }
.wf-card .wf-grid td.wf-state { color: var(--wf-ink); }
.wf-card button.wf-sort { font: inherit; border: 0; background: none; padding: 0; color: inherit; }
.wf-card button.wf-sort::after { content: "↓"; visibility: hidden; margin-left: 4px; }
[aria-sort="ascending"] > .wf-sort::after { content: "↑" !important; visibility: visible !important; }
[aria-sort="descending"] > .wf-sort::after { visibility: visible !important; }
.wf-card button.wf-sort:hover:not(:disabled) { background: none; color: var(--wf-ink); text-decoration: underline; }
.wf-card button.wf-link { font-family: var(--wf-mono); font-size: 12px; border: 0; background: none; padding: 0; color: var(--wf-accent); user-select: text; }
.wf-card button.wf-link:hover:not(:disabled) { background: none; text-decoration: underline; }
.wf-card button.wf-link[aria-expanded="true"] { font-weight: 700; }
.wf-card p.wf-empty-list { padding: 18px 12px; color: var(--wf-faint); text-align: center; }
.wf-pager { display: flex; align-items: center; gap: 4px; padding: 4px 12px; border-top: 1px solid var(--wf-line); }
.wf-range, .wf-pages { color: var(--wf-faint); }
.wf-card input.wf-page-number { width: 72px; min-height: 22px; padding: 0 4px; font-size: 12px; text-align: right; }
.wf-opened { border-top: 1px solid var(--wf-line); padding: 8px 12px; background: var(--wf-raised); }
.wf-box { position: relative; padding-right: 28px; margin-bottom: 6px; min-height: 28px; }
.wf-box > .wf-icon { position: absolute; right: 0; top: 4px; }
.wf-steps { border-top: 1px solid var(--wf-line); border-bottom: 1px solid var(--wf-line); padding: 8px 12px; background: var(--wf-raised); }
.wf-steps-head { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 10px; margin-bottom: 6px; }
.wf-steps-table { overflow: auto; max-height: 320px; border: 1px solid var(--wf-line); border-radius: 4px; background: var(--wf-paper); }
.wf-steps-table:focus-visible { outline: 2px solid var(--wf-accent); }
.wf-steps-table details { padding: 4px 10px; }
.wf-steps-table summary { cursor: pointer; color: var(--wf-faint); }
.wf-steps-table > p { padding: 8px 10px; }
.wf-chart { display: block; overflow: visible; }
.wf-line-p50, .wf-line-p95 { fill: none; stroke-linejoin: round; }
.wf-line-p50 { stroke: var(--wf-accent); stroke-width: 2; }
.wf-line-p95 { stroke: var(--wf-bad); stroke-width: 1.3; stroke-dasharray: 4 2.5; }
.wf-dot-p50 { fill: var(--wf-accent); }
.wf-dot-p95 { fill: none; stroke: var(--wf-bad); stroke-width: 1.3; }
.wf-spot { fill: transparent; }
.wf-spot:hover { fill: color-mix(in srgb, var(--wf-ink) 10%, transparent); }
.wf-key50, .wf-key95 { display: inline-block; width: 20px; border-top: 2px solid var(--wf-accent); vertical-align: 4px; margin-right: 2px; }
.wf-key95 { border-top: 2px dashed var(--wf-bad); margin-left: 8px; }
.wf-card.wf-dashboard[data-asking="true"] .wf-range { opacity: .6; }
`;function It(t,r,n){let i=t.getRootNode(),f=i instanceof ShadowRoot?i:document.head;if(f.querySelector(`style[data-wf-${r}]`))return;let l=document.createElement("style");l.setAttribute(`data-wf-${r}`,""),l.textContent=n,f.append(l)}function nt({model:t,el:r},n,i){let f=c=>{for(let[h,g]of Object.entries(i))It(c,h,g)},l=c=>n.receive(c);t.on("msg:custom",l),f(document.body),r.append(n.el),r.isConnected&&f(r);let p=new ResizeObserver(()=>(n.el.isConnected&&f(n.el),n.invalidate()));p.observe(n.el);let m=new MutationObserver(n.retheme);m.observe(document.body,{attributes:!0,attributeFilter:["data-jp-theme-name","data-jp-theme-light","class"]}),m.observe(document.documentElement,{attributes:!0,attributeFilter:["class","data-theme","style"]});let s=window.matchMedia?.("(prefers-color-scheme: dark)");return s?.addEventListener("change",n.retheme),n.hello(),()=>{t.off("msg:custom",l),p.disconnect(),m.disconnect(),s?.removeEventListener("change",n.retheme),n.stop()}}var ot=`/* Colours: JupyterLab's variables where there are any, else our own by the system's scheme. */
.wf-card {
  --d-paper: #fff; --d-raised: #f6f7f8; --d-ink: #1f2328; --d-faint: #6a737d; --d-line: #e3e5e8; --d-accent: #0068a8;
  --wf-good: #007a58; --wf-bad: #b84a00; --wf-wait: #96650a;
  --wf-paper: var(--jp-layout-color0, var(--d-paper));
  --wf-raised: color-mix(in srgb, var(--wf-ink) 4%, var(--wf-paper));
  --wf-ink: var(--jp-ui-font-color1, var(--d-ink));
  --wf-faint: color-mix(in srgb, var(--wf-ink) 62%, var(--wf-paper));
  --wf-line: color-mix(in srgb, var(--wf-ink) 14%, var(--wf-paper));
  --wf-edge: color-mix(in srgb, var(--wf-ink) 45%, var(--wf-paper));
  --wf-accent: var(--d-accent);
  --wf-mono: var(--jp-code-font-family, ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace);
  container-type: inline-size;
  box-sizing: border-box; max-width: 1400px; margin: 2px 0; border: 1px solid var(--wf-line); border-radius: 6px; overflow: hidden;
  background: var(--wf-paper); color: var(--wf-ink);
  font: 13px/1.45 var(--jp-ui-font-family, system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif);
  font-variant-numeric: tabular-nums; text-align: left;
}
@media (prefers-color-scheme: dark) {
  .wf-card { --d-paper: #16181b; --d-ink: #dfe2e5; --d-accent: #6cb6ee; }
  :root:not(:has([data-jp-theme-light="true"])) .wf-card { --wf-good: #3fc39b; --wf-bad: #f4935a; --wf-wait: #e3b04b; color-scheme: dark; }
}
[data-jp-theme-light="false"] .wf-card { color-scheme: dark; --d-accent: #6cb6ee; --wf-good: #3fc39b; --wf-bad: #f4935a; --wf-wait: #e3b04b; }
[data-jp-theme-light="true"] .wf-card { color-scheme: light; --d-accent: #0068a8; }
.wf-card *, .wf-card *::before, .wf-card *::after { box-sizing: border-box; }
.wf-card [hidden] { display: none !important; }
.wf-card p, .wf-card h4, .wf-card dl, .wf-card dd, .wf-card pre, .wf-card fieldset { margin: 0; padding: 0; border: 0; }
.wf-card code, .wf-card .wf-code { font-family: var(--wf-mono); font-size: 12px; background: none; color: inherit; padding: 0; }

.wf-header { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 12px; padding: 7px 8px 7px 12px; border-bottom: 1px solid var(--wf-line); }
.wf-title { display: flex; align-items: baseline; gap: 8px; flex: 1 1 260px; min-width: 0; white-space: nowrap; }
.wf-trail { display: flex; align-items: baseline; gap: 2px; color: var(--wf-faint); min-width: 0; overflow: hidden; }
.wf-trail button { overflow: hidden; text-overflow: ellipsis; max-width: 180px; }
.wf-sign { width: 14px; text-align: center; font-weight: 700; color: var(--wf-accent); align-self: center; line-height: 1; }
.wf-name { font-size: 14px; overflow: hidden; text-overflow: ellipsis; }
.wf-id { color: var(--wf-faint); overflow: hidden; text-overflow: ellipsis; user-select: all; min-width: 3ch; }
.wf-status { color: var(--wf-accent); font-weight: 600; }
.wf-elapsed { color: var(--wf-faint); min-width: 5em; }
.wf-note { color: var(--wf-wait); overflow: hidden; text-overflow: ellipsis; }
.wf-card[data-status="completed"] :is(.wf-sign, .wf-status) { color: var(--wf-good); }
.wf-card[data-status="failed"] :is(.wf-sign, .wf-status), .wf-failed { color: var(--wf-bad); }
.wf-card[data-status="canceled"] :is(.wf-sign, .wf-status) { color: var(--wf-faint); }
.wf-actions, .wf-buttons { display: flex; flex-wrap: wrap; gap: 6px; }

.wf-card button { font: inherit; line-height: 18px; color: var(--wf-ink); background: var(--wf-paper); border: 1px solid var(--wf-line); border-radius: 4px; padding: 2px 10px; cursor: pointer; white-space: nowrap; }
.wf-card button:hover:not(:disabled) { background: var(--wf-raised); border-color: var(--wf-edge); }
.wf-card button:disabled { opacity: .45; cursor: default; }
.wf-card button.wf-primary { background: var(--wf-accent); border-color: var(--wf-accent); color: var(--wf-paper); font-weight: 600; }
.wf-card button.wf-primary:hover:not(:disabled) { background: color-mix(in srgb, var(--wf-accent) 85%, var(--wf-ink)); }
.wf-card button.wf-danger { border-color: var(--wf-bad); color: var(--wf-bad); font-weight: 600; }
.wf-card button.wf-icon { border-color: transparent; padding: 2px 0; width: 24px; color: var(--wf-faint); background: none; }
.wf-card button.wf-quiet { border-color: transparent; color: var(--wf-accent); padding: 2px 4px; justify-self: start; background: none; }
.wf-card :is(button, input, select, textarea, summary, pre, .wf-log, .wf-list, .wf-choices):focus-visible { outline: 2px solid var(--wf-accent); outline-offset: 1px; }
.wf-card .wf-list:focus-visible { outline-offset: -2px; }

.wf-ask, .wf-sender, .wf-approvals { padding: 8px 12px; border-bottom: 1px solid var(--wf-line); background: var(--wf-raised); }
.wf-ask { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; }
.wf-ask span { margin-right: 4px; }
.wf-outcome { padding: 5px 12px 5px 34px; border-bottom: 1px solid var(--wf-line); overflow-wrap: anywhere; max-height: 84px; overflow-y: auto; }
.wf-outcome .wf-failed { font-weight: 600; }
.wf-key { color: var(--wf-faint); margin-right: 8px; }
.wf-approvals { display: grid; gap: 10px; }
.wf-form.wf-yesno { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px; max-width: none; }
.wf-kept { overflow-wrap: anywhere; padding-top: 3px; display: inline-block; }
.wf-more:empty { display: none; }
.wf-more { color: var(--wf-faint); }

.wf-form { display: grid; gap: 7px; margin: 0; max-width: 680px; }
.wf-form-title { display: flex; align-items: baseline; gap: 8px; }
.wf-diamond { width: 8px; height: 8px; transform: rotate(45deg); border: 2px solid #e69f00; align-self: center; margin: 0 3px; flex: none; }
.wf-type { color: var(--wf-faint); }
.wf-object { display: grid; gap: 6px; min-width: 0; }
.wf-nested { border-left: 2px solid var(--wf-line) !important; padding-left: 12px !important; }
.wf-legend { padding: 0; font-weight: 600; margin-bottom: 4px; }
.wf-field { display: grid; grid-template-columns: 116px minmax(0, 1fr); gap: 2px 10px; align-items: start; }
.wf-item .wf-field, .wf-variant .wf-field { grid-template-columns: minmax(0, 1fr); }
.wf-variant .wf-object .wf-field, .wf-item .wf-object .wf-field { grid-template-columns: 104px minmax(0, 1fr); }
.wf-field > .wf-input:only-child { grid-column: 1 / -1; }
.wf-check { display: flex; flex-wrap: wrap; gap: 2px 8px; padding-left: 126px; align-items: center; }
.wf-check > :is(.wf-error, .wf-help) { flex-basis: 100%; }
.wf-nested .wf-check { padding-left: 114px; }
.wf-checkbox { margin: 0; accent-color: var(--wf-accent); }
.wf-label { color: var(--wf-ink); padding-top: 3px; overflow-wrap: anywhere; line-height: 1.35; }
.wf-check .wf-label { padding: 0; }
.wf-star { color: var(--wf-bad); }
.wf-help { color: var(--wf-faint); font-size: 12px; line-height: 1.4; }
.wf-error { color: var(--wf-bad); font-size: 12px; line-height: 1.4; font-weight: 600; }
.wf-error::before { content: "✕ "; }
.wf-card :is(input, select, textarea).wf-text, .wf-card .wf-search {
  font: inherit; font-size: 13px; color: var(--wf-ink); background: var(--wf-paper); border: 1px solid color-mix(in srgb, var(--wf-ink) 28%, var(--wf-paper));
  border-radius: 4px; padding: 2px 7px; min-height: 26px; width: 100%; max-width: 420px; margin: 0; box-shadow: none; display: block; height: auto; line-height: 1.4;
}
.wf-card textarea.wf-text { resize: vertical; }
.wf-card textarea.wf-code { font-family: var(--wf-mono); font-size: 12px; }
.wf-field[data-wrong="true"] .wf-text { border-color: var(--wf-bad); }
.wf-card select.wf-text { width: auto; min-width: 140px; appearance: auto; }
.wf-card input:is([type="number"], [type="date"], [type="time"]).wf-text { max-width: 180px; }
.wf-card input[type="datetime-local"].wf-text { max-width: 220px; }
.wf-choices { display: flex; flex-wrap: wrap; border-radius: 4px; }
.wf-choice { position: relative; }
.wf-choice input { position: absolute; opacity: 0; inset: 0; margin: 0; cursor: pointer; width: 100%; height: 100%; }
.wf-choice span { display: block; padding: 2px 11px; line-height: 20px; border: 1px solid color-mix(in srgb, var(--wf-ink) 28%, var(--wf-paper)); margin-left: -1px; background: var(--wf-paper); }
.wf-choice:first-child span { border-radius: 4px 0 0 4px; margin-left: 0; }
.wf-choice:last-child span { border-radius: 0 4px 4px 0; }
.wf-choice input:checked + span { background: var(--wf-accent); border-color: var(--wf-accent); color: var(--wf-paper); font-weight: 600; }
.wf-choice input:focus-visible + span { outline: 2px solid var(--wf-accent); outline-offset: 2px; z-index: 1; position: relative; }
.wf-items { display: grid; gap: 6px; }
.wf-item { display: grid; grid-template-columns: minmax(0, 1fr) 24px; gap: 4px; max-width: 448px; }
.wf-variant { margin-top: 4px; }
.wf-form > .wf-buttons { margin-top: 1px; }

.wf-main { display: grid; grid-template-columns: minmax(0, 1fr); }
.wf-left { min-width: 0; }
.wf-tools { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; padding: 5px 8px 4px 12px; min-height: 34px; }
.wf-counts { display: flex; flex-wrap: wrap; gap: 4px; }
.wf-card button.wf-chip { font-size: 12px; padding: 0 9px; border-radius: 11px; color: var(--wf-faint); line-height: 20px; }
.wf-chip b { color: var(--wf-ink); font-weight: 600; }
.wf-chip i { display: inline-block; width: 8px; height: 8px; margin-right: 6px; border-radius: 50%; background: var(--wf-faint); }
.wf-chip[data-status="3"] i { background: #d55e00; border-radius: 0; transform: rotate(45deg); }
.wf-chip[data-status="1"] i { background: none; border: 4px solid transparent; border-left: 7px solid var(--wf-accent); border-right: 0; border-radius: 0; width: 0; height: 0; }
.wf-chip[data-status="0"] i { background: none; border: 1.5px solid var(--wf-faint); }
.wf-chip[data-status="2"] i { background: #009e73; }
.wf-chip[data-status="4"] i { height: 3px; border-radius: 0; vertical-align: 3px; }
.wf-card button.wf-chip[aria-pressed="true"] { border-color: var(--wf-accent); background: color-mix(in srgb, var(--wf-accent) 13%, var(--wf-paper)); color: var(--wf-ink); }
.wf-grow { flex: 1; }
.wf-card .wf-search { width: 132px; min-height: 22px; padding: 0 7px; font-size: 12px; }
.wf-zoom { display: flex; }
.wf-timeline { position: relative; }
.wf-strip { display: block; width: 100%; border-bottom: 1px solid var(--wf-line); cursor: crosshair; touch-action: none; }
.wf-rows { position: relative; height: 64px; }
.wf-bars { position: absolute; inset: 0; width: 100%; display: block; pointer-events: none; }
.wf-list { position: absolute; inset: 20px 0 0 0; overflow: hidden auto; touch-action: pan-y; scrollbar-width: thin; user-select: none; overscroll-behavior: auto; }
.wf-option { position: absolute; left: 0; right: 0; height: 20px; cursor: default; }
.wf-option:hover { background: color-mix(in srgb, var(--wf-ink) 5%, transparent); }
.wf-card p.wf-empty { position: absolute; inset: 22px 0 0 0; display: grid; place-items: center; color: var(--wf-faint); pointer-events: none; }

.wf-details { border-top: 1px solid var(--wf-line); padding: 8px 12px 10px; max-height: 360px; overflow-y: auto; min-width: 0; display: flex; flex-direction: column; gap: 6px; }
@container (min-width: 800px) {
  .wf-main[data-split="true"] { grid-template-columns: minmax(0, 1fr) minmax(300px, 38%); }
  .wf-main[data-split="true"] .wf-details { border-top: 0; border-left: 1px solid var(--wf-line); max-height: none; height: 0; min-height: max(100%, 300px); }
}
.wf-details > * { flex: none; }
.wf-details-head { display: flex; align-items: center; gap: 8px; }
.wf-details-head strong { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.wf-number { color: var(--wf-faint); }
.wf-facts { color: var(--wf-faint); margin-top: -6px !important; }
.wf-facts[data-status="failed"] { color: var(--wf-bad); }
.wf-card h4.wf-section { font: inherit; font-size: 12px; font-weight: 600; color: var(--wf-faint); margin: 4px 0 -3px; }
.wf-card .wf-values { display: grid; grid-template-columns: minmax(56px, max-content) minmax(0, 1fr); gap: 2px 12px; }
.wf-card .wf-values dt { color: var(--wf-faint); font-weight: 400; max-width: 140px; overflow-wrap: anywhere; }
.wf-card .wf-values :is(dt, dd) { float: none; width: auto; } /* JupyterLab makes columns of its own of any dl in an output */
.wf-values.wf-small { font-size: 12px; }
.wf-card pre.wf-code { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.45; max-height: 220px; overflow-y: auto; }
.wf-card pre.wf-trace { white-space: pre; overflow: auto; background: var(--wf-raised); border-radius: 4px; padding: 6px 8px; font-size: 11.5px; margin-top: 4px; }
.wf-error-line { overflow-wrap: anywhere; }
.wf-error-line b { color: var(--wf-bad); }
.wf-details summary { color: var(--wf-faint); cursor: pointer; font-size: 12px; }
.wf-log { font-family: var(--wf-mono); font-size: 11.5px; max-height: 160px; overflow-y: auto; background: var(--wf-raised); border-radius: 4px; padding: 4px 8px; flex: none; }
.wf-log div { display: flex; gap: 10px; }
.wf-log i { color: var(--wf-faint); flex: none; width: 4ch; font-style: normal; }
.wf-log [data-kind="stderr"] :is(i, span) { color: var(--wf-wait); }
.wf-log time { color: var(--wf-faint); flex: none; }
.wf-log span { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 0; }
.wf-details > .wf-buttons { margin-top: auto; padding: 6px 0 8px; position: sticky; bottom: -10px; margin-bottom: -8px; background: var(--wf-paper); border-top: 1px solid var(--wf-line); }
.wf-progress { display: grid; grid-template-columns: minmax(60px, 1fr) auto; gap: 10px; align-items: center; color: var(--wf-faint); font-size: 12px; }
.wf-bar { height: 6px; border-radius: 3px; background: var(--wf-line); overflow: hidden; }
.wf-bar i { display: block; height: 100%; background: var(--wf-accent); border-radius: 3px; }
.wf-bar[data-endless="true"] i { opacity: .5; }
.wf-live { padding: 0 12px; color: var(--wf-faint); font-size: 12px; line-height: 22px; min-height: 22px; border-top: 1px solid var(--wf-line); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.wf-foot { display: flex; align-items: baseline; }
.wf-foot:has(.wf-live:not(:empty)) { border-top: 1px solid var(--wf-line); }
.wf-foot .wf-live { border-top: 0; }
.wf-card .wf-foot button { padding: 0 8px; line-height: 20px; }
.wf-live[data-tone="bad"] { color: var(--wf-bad); font-weight: 600; white-space: normal; }
.wf-live:empty { min-height: 0; border-top-color: transparent; height: 0; }
@media (forced-colors: active) { .wf-choice input:checked + span { outline: 3px solid Highlight; } }

.wf-approval { max-width: 720px; }
.wf-about { padding: 6px 12px; border-bottom: 1px solid var(--wf-line); max-height: 200px; overflow: auto; }
.wf-approval .wf-approvals { border-bottom: 0; }
.wf-approval .wf-over { padding: 8px 12px; color: var(--wf-faint); font-weight: 600; overflow-wrap: anywhere; }
.wf-over[data-tone="good"] { color: var(--wf-good); }
`;var Dt=20,Pt=100;async function Rt(t,r){for(let n=0;;n++)try{return await t.create_view(await t.get_model(r))}catch(i){if(n>=Dt)throw i;await new Promise(f=>setTimeout(f,Pt))}}async function _t(t,r,n){let i=await Rt(t,r);return n.append(i.el),i.trigger?.("displayed"),()=>i.remove()}function Ut({model:t,el:r}){let n=et(l=>t.send(l),{embed:(l,p)=>_t(t.widget_manager,l,p)}),i=new IntersectionObserver(l=>n.see(l.at(-1).isIntersecting));i.observe(n.el);let f=nt({model:t,el:r},n,{card:ot,dashboard:tt});return()=>(i.disconnect(),f())}var hn={render:Ut};export{hn as default};
